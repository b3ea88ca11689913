import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { CUSTOMER, example, post, serveExamples } from '../fixtures.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

describe('the friendly dialect', () => {
  let server: SlipwayServer
  before(async () => {
    server = await serveExamples(['churn', 'digits', 'recommend'], { defaultModel: 'churn', serving: { instances: 1 } })
  })
  after(() => server.close())

  it('answers one row with one object', async () => {
    const { status, body, headers } = await post(`${server.url}/predict`, CUSTOMER)
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(body), ['prediction', 'confidence', 'probabilities'])
    assert.ok(body['prediction'] === 'churn' || body['prediction'] === 'stays')
    assert.equal(headers.get('slipway-model'), 'churn')
    assert.ok((headers.get('x-request-id') ?? '').length > 10)
  })

  it('answers a list with a list, in its order', async () => {
    const calm = { ...CUSTOMER, tenure_months: 70, support_calls: 0, contract: 'two-year' }
    const { body } = await post(`${server.url}/predict`, { inputs: [CUSTOMER, calm, CUSTOMER] })
    const predictions = body['predictions'] as { confidence: number; prediction: string }[]
    assert.equal(predictions.length, 3)
    assert.deepEqual(predictions[0], predictions[2])
    assert.notDeepEqual(predictions[0], predictions[1])
  })

  it('names every wrong value of one bad row and runs nothing', async () => {
    const before = await (await fetch(`${server.url}/metrics`)).text()
    const { status, body } = await post(`${server.url}/predict`, {
      inputs: [CUSTOMER, CUSTOMER, CUSTOMER, { ...CUSTOMER, plan: 'gold', tenure_months: 9999 }],
    })
    assert.equal(status, 400)
    assert.equal(body['code'], 'SLW_INPUT_INVALID')
    assert.deepEqual(
      (body['issues'] as { path: string }[]).map((issue) => issue.path),
      ['inputs[3].tenure_months', 'inputs[3].plan'],
    )
    const runs = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('slipway_runs_total{endpoint="churn"'))
    assert.deepEqual(runs(await (await fetch(`${server.url}/metrics`)).text()), runs(before))
  })

  it('takes CSV', async () => {
    const { status, body } = await post(`${server.url}/models/churn/predict`, await readFile(`${example('churn')}/customers.csv`), {
      'content-type': 'text/csv',
    })
    assert.equal(status, 200)
    assert.ok((body['predictions'] as unknown[]).length >= 10)
  })

  it('takes forms: a file of CSV or JSON, pictures, or a field for each feature', async () => {
    const form = (parts: Record<string, string | File | File[]>): FormData => {
      const made = new FormData()
      for (const [name, value] of Object.entries(parts)) for (const one of [value].flat()) made.append(name, one as string)
      return made
    }
    const send = async (model: string, parts: Record<string, string | File | File[]>): Promise<[number, any]> => {
      const response = await fetch(`${server.url}/models/${model}/predict`, { method: 'POST', body: form(parts) })
      return [response.status, await response.json()]
    }
    const csv = await readFile(`${example('churn')}/customers.csv`)
    const [, fromCsv] = await send('churn', { file: new File([csv], 'customers.csv') })
    assert.deepEqual(fromCsv, (await post(`${server.url}/models/churn/predict`, csv, { 'content-type': 'text/csv' })).body)
    const { body: alone } = await post(`${server.url}/models/churn/predict`, CUSTOMER)
    assert.deepEqual(await send('churn', { file: new File([JSON.stringify(CUSTOMER)], 'one.json') }), [200, alone])
    assert.deepEqual(await send('churn', { inputs: JSON.stringify([CUSTOMER]) }), [200, { predictions: [alone] }])
    const fields = Object.fromEntries(Object.entries(CUSTOMER).map(([name, value]) => [name, String(value)]))
    assert.deepEqual(await send('churn', fields), [200, alone])
    const [three, seven] = await Promise.all(
      [3, 7].map(async (digit) => new File([await readFile(`${example('digits')}/digit-${digit}.png`)], 'photo.png')),
    )
    assert.equal(String((await send('digits', { file: three! }))[1].prediction), '3')
    const [, both] = await send('digits', { files: [three!, seven!] })
    assert.deepEqual(
      both.predictions.map(({ prediction }: { prediction: unknown }) => String(prediction)),
      ['3', '7'],
    )
    for (const [model, parts, says] of [
      ['churn', { file: new File([csv], 'customers.csv'), plan: 'pro' }, /there are files and the field "plan"/],
      ['churn', { files: [new File([csv], 'a.csv'), new File([csv], 'b.csv')] }, /there are 2 files: send one/],
      ['churn', { ...fields, plan: 'gold' }, /plan.*"gold" is not one of/],
      ['digits', { pixels: '1' }, /the model takes pictures: send one as a file/],
      ['digits', { file: new File(['no picture'], 'photo.png') }, /file/],
    ] as const) {
      const [status, { error }] = await send(model, parts as never)
      assert.equal(status, 400, error)
      assert.match(error, says)
    }
    // What was sent with a file comes before its name, with the encoding that it tells.
    const rows = (await readFile(`${example('churn')}/customers.csv`, 'utf8')).replace('pro', 'pr\u00F6')
    const latin = new File([Buffer.from(rows, 'latin1')], 'rows.json', { type: 'text/csv; charset=iso-8859-1' })
    assert.match((await send('churn', { file: latin }))[1].error, /"pr\u00F6" is not one of/)
    const many = Buffer.from(`${'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(10_001)}--x--\r\n`)
    const tooMany = await post(`${server.url}/models/churn/predict`, many, { 'content-type': 'multipart/form-data; boundary=x' })
    assert.deepEqual([tooMany.status, tooMany.body['code']], [400, 'SLW_LIMIT_EXCEEDED'])
    const broken = await post(`${server.url}/models/churn/predict`, 'no parts', { 'content-type': 'multipart/form-data; boundary=x' })
    assert.deepEqual([broken.status, broken.body['code']], [400, 'SLW_BAD_REQUEST'])
    assert.equal((await post(`${server.url}/models/churn/predict`, 'x', { 'content-type': 'multipart/form-data' })).status, 400)
  })

  it('answers as CSV to whoever asks for it, and with errors as JSON', async () => {
    const ask = async (accept: string, body: unknown): Promise<{ status: number; type: string; text: string }> => {
      const headers = { 'content-type': 'application/json', accept }
      const response = await fetch(`${server.url}/models/churn/predict`, { method: 'POST', headers, body: JSON.stringify(body) })
      return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() }
    }
    const { text, type } = await ask('text/csv', [CUSTOMER, CUSTOMER])
    assert.match(type, /^text\/csv/)
    const [header, first, second, end, ...more] = text.split('\r\n')
    assert.equal(header, 'prediction,confidence,probabilities.stays,probabilities.churn')
    assert.match(first!, /^(?:churn|stays),0\.\d+,0\.\d+,0\.\d+$/)
    assert.deepEqual([second, end, more.length], [first, '', 0])
    assert.equal((await ask('text/csv', CUSTOMER)).text, `${header}\r\n${first}\r\n`)
    for (const accept of [
      'application/json',
      '*/*',
      'text/csv;q=0.5, application/json',
      'text/csv;q=0',
      'text/csv;q=0.5, */*',
      'text/csv;q=0.5, application/*',
    ])
      assert.match((await ask(accept, CUSTOMER)).type, /json/)
    assert.match((await ask('application/json;q=0.5, text/csv', CUSTOMER)).type, /csv/)
    const wrong = await ask('text/csv', { ...CUSTOMER, plan: 'gold' })
    assert.deepEqual([wrong.status, /json/.test(wrong.type)], [400, true])
    // Lists are JSON, and what has a comma in it is quoted.
    const ranking = await fetch(`${server.url}/models/recommend/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/csv' },
      body: '{"user": 3, "items": [1, 2]}',
    })
    assert.match(await ranking.text(), /^prediction\r\n"\[\{""item"":\d,""score"":[\d.e-]+\},.*\]"\r\n$/)
  })

  it('takes a picture as the body, and pictures as base64', async () => {
    const png = await readFile(`${example('digits')}/digit-3.png`)
    const raw = await post(`${server.url}/models/digits/predict`, png, { 'content-type': 'image/png' })
    assert.equal(String(raw.body['prediction']), '3')
    const seven = (await readFile(`${example('digits')}/digit-7.png`)).toString('base64')
    const many = await post(`${server.url}/models/digits/predict`, { inputs: [{ image: png.toString('base64') }, { image: seven }] })
    assert.deepEqual(
      (many.body['predictions'] as { prediction: unknown }[]).map((answer) => String(answer.prediction)),
      ['3', '7'],
    )
  })

  it('names the picture that cannot be read', async () => {
    const { status, body } = await post(`${server.url}/models/digits/predict`, {
      inputs: [{ image: Buffer.from('no picture').toString('base64') }],
    })
    assert.equal(status, 400)
    assert.match(String(body['error']), /inputs\[0\]\.image: not a PNG or JPEG/)
  })

  it('ranks the candidates of a recommender, best first', async () => {
    const { body } = await post(`${server.url}/models/recommend/predict`, { user: 3, items: [1, 2, 3, 4, 5, 6, 7] })
    const ranking = body['prediction'] as { item: number; score: number }[]
    assert.equal(ranking.length, 5)
    assert.ok(ranking.every((entry, index) => index === 0 || entry.score <= ranking[index - 1]!.score))
    const outside = await post(`${server.url}/models/recommend/predict`, { user: 1_000_000, items: [1] })
    assert.equal(outside.status, 400)
  })

  it('refuses another content type, an empty body and broken JSON, each with what was expected', async () => {
    assert.equal((await post(`${server.url}/predict`, 'x', { 'content-type': 'application/xml' })).status, 415)
    assert.match(String((await post(`${server.url}/predict`, '')).body['error']), /the body is empty/)
    const broken = await post(`${server.url}/predict`, '{"inputs": [}')
    assert.equal(broken.status, 400)
    assert.match(String(broken.body['error']), /at byte 12/)
  })

  it('gives an example that works, for each model', async () => {
    for (const name of ['churn', 'digits', 'recommend']) {
      const body = await (await fetch(`${server.url}/models/${name}/example`)).text()
      assert.equal((await post(`${server.url}/models/${name}/predict`, body)).status, 200, name)
    }
  })
})

it('without a default model, /predict on several models names them', async () => {
  await using server = await serveExamples(['churn', 'recommend'], { serving: { instances: 1 } })
  const { status, body } = await post(`${server.url}/predict`, CUSTOMER)
  assert.equal(status, 400)
  assert.match(String(body['error']), /churn, recommend/)
})
