import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeInProcess } from './in-plane.ts'

it('files come as attachments with the media type of their name, by run, by version and by place', async () => {
  await using plane = await planeInProcess()
  const mlflow = async (path: string, body: object): Promise<Record<string, any>> =>
    (await (await fetch(`${plane.url}/api/2.0/mlflow/${path}`, { method: 'POST', body: JSON.stringify(body) })).json()) as Record<
      string,
      any
    >
  const run = (await mlflow('runs/create', { experiment_id: '0' }))['run'].info.run_id as string
  const place = `${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${run}/artifacts`
  const types = {
    'model/MLmodel': 'text/plain; charset=utf-8',
    'model/plot.png': 'image/png',
    'model/page.html': 'text/html',
    'model/conda.yaml': 'text/plain; charset=utf-8',
    'model/model.onnx': 'application/octet-stream',
    'model/"💡".txt': 'text/plain; charset=utf-8',
  }
  for (const path of Object.keys(types))
    assert.equal((await fetch(`${place}/${encodeURI(path)}`, { method: 'PUT', body: `of ${path}` })).status, 200)
  await mlflow('registered-models/create', { name: 'm' })
  await mlflow('model-versions/create', { name: 'm', source: `runs:/${run}/model` })
  for (const [path, type] of Object.entries(types)) {
    const query = (fields: Record<string, string>): string => new URLSearchParams(fields).toString()
    for (const url of [
      `${place}/${encodeURI(path)}`,
      `${plane.url}/get-artifact?${query({ run_uuid: run, path })}`,
      `${plane.url}/get-artifact?${query({ run_id: run, path })}`,
      `${plane.url}/model-versions/get-artifact?${query({ name: 'm', version: '1', path: path.slice('model/'.length) })}`,
    ]) {
      const response = await fetch(url)
      assert.equal(await response.text(), `of ${path}`, url)
      assert.equal(response.headers.get('content-type'), type, url)
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
      const name = path.split('/').at(-1)!
      const [, plain, encoded] = /^attachment; filename="([^"]+)"; filename\*=UTF-8''(.+)$/.exec(
        response.headers.get('content-disposition')!,
      )!
      assert.equal(decodeURIComponent(encoded!), name)
      assert.equal(plain, name === '"💡".txt' ? '____.txt' : name)
    }
  }
  await mlflow('model-versions/create', { name: 'm', source: 's3://bucket/model' })
  for (const [address, status, said] of [
    [`get-artifact?run_id=${run}&path=../x`, 400, /Invalid path/],
    [`get-artifact?run_id=${run}&path=nothing`, 404, /nothing/],
    [`get-artifact?run_id=${'0'.repeat(32)}&path=x`, 404, /RESOURCE_DOES_NOT_EXIST/],
    ['get-artifact?path=x', 400, /run_uuid/],
    ['model-versions/get-artifact?name=m&version=9&path=x', 404, /RESOURCE_DOES_NOT_EXIST/],
    ['model-versions/get-artifact?name=m&version=2&path=x', 404, /lie at s3:\/\/bucket\/model/],
  ] as const) {
    const response = await fetch(`${plane.url}/${address}`)
    assert.equal(response.status, status, address)
    assert.match(await response.text(), said)
  }
})

it('what MLflow has and this registry does not is answered with 501 and its name', async () => {
  await using plane = await planeInProcess()
  for (const path of ['api/2.0/mlflow/traces', 'ajax-api/3.0/mlflow/gateway/secrets/create', 'api/2.0/mlflow/webhooks/1/test', 'graphql']) {
    const response = await fetch(`${plane.url}/${path}`, { method: 'POST', body: '{}' })
    const body = (await response.json()) as { error_code: string; message: string }
    assert.deepEqual([response.status, body.error_code], [501, 'NOT_IMPLEMENTED'], path)
    assert.match(body.message, /^This registry does not have \w+/)
  }
})

it('a page of no points is refused, and so is the token of another search', async () => {
  await using plane = await planeInProcess()
  const post = async (path: string, body: object): Promise<[number, Record<string, any>]> => {
    const response = await fetch(`${plane.url}/api/2.0/mlflow/${path}`, { method: 'POST', body: JSON.stringify(body) })
    return [response.status, (await response.json()) as Record<string, any>]
  }
  const [, { run }] = await post('runs/create', { experiment_id: '0' })
  await post('runs/create', { experiment_id: '0' })
  const history = (max: number) =>
    fetch(`${plane.url}/api/2.0/mlflow/metrics/get-history?run_id=${run.info.run_id}&metric_key=m&max_results=${max}`)
  assert.deepEqual([(await history(0)).status, (await history(-1)).status, (await history(1)).status], [400, 400, 200])
  const search = { experiment_ids: ['0'], max_results: 1 }
  const [, { next_page_token: token }] = await post('runs/search', search)
  assert.equal((await post('runs/search', { ...search, page_token: token }))[0], 200)
  for (const other of [{ filter: "status = 'FAILED'" }, { run_view_type: 'ALL' }, { experiment_ids: ['0', '1'] }])
    assert.equal((await post('runs/search', { ...search, ...other, page_token: token }))[0], 400, JSON.stringify(other))
})
