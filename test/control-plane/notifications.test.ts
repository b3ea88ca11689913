import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { mailServerOf, sendMail } from '../../src/control-plane/send-mail.ts'
import { record } from '../../src/ledger/events.ts'
import { askAws } from '../../src/security/aws-request.ts'
import { Secrets } from '../../src/security/secrets/secrets.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { authority } from '../certificates.ts'
import { answering } from '../checks/asked.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { startMoto } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { mailReceiver } from './mail-receiver.ts'
import { upInChild } from './up-in-child.ts'
import type { IncomingHttpHeaders } from 'node:http'
import type { EventKind } from '../../src/ledger/events.ts'
import type { Plane } from '../api/in-plane.ts'

const TOLD_MS = 20_000

interface Heard {
  readonly headers: IncomingHttpHeaders
  readonly path: string
  readonly body: string
}

async function receiver(statusOf: (count: number) => number = () => 200) {
  const heard: Heard[] = []
  const server = await answering((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece))
    request.once('end', () => {
      heard.push({ headers: request.headers, path: request.url!, body })
      response.writeHead(statusOf(heard.length)).end('ok')
    })
  })
  return Object.assign(server, { heard })
}

/** Has a rollout written down, as the room of rollouts does. */
async function rollout({ plane }: Plane, before: object, after: object): Promise<void> {
  const { ground } = plane.services
  const scope = { environment: 'default', actor: 'slipway' }
  const change = { kind: 'rollout' as EventKind, name: 'churn/3', action: 'updated' as const, before, after }
  await ground.database.write((write) => record(write, scope, Date.now(), change))
}

const BACK = {
  rollout: 3,
  endpoint: 'churn',
  state: 'rolled back',
  step: 2,
  from: 'churn/6',
  to: 'churn/7',
  reason: 'errors are 3.1 times as frequent as under version 6 <&>',
}
const BACK_SENTENCE =
  'churn: version 7 was rolled back from 25 %, and version 6 has all requests again, because errors are 3.1 times as frequent as under version 6 <&>'

const deliveriesOf = async (plane: Plane, id: string): Promise<Record<string, any>[]> =>
  (await plane.ask('GET', `/webhooks/${id}/deliveries`)).body.items

describe('the shape of Slack', () => {
  it('is a sentence and blocks, signed like any other, and its address is shown without the path', async () => {
    await using told = await receiver()
    await using folder = await temporaryFolder()
    const secret = await folder.write('secret', 'ours')
    await using plane = await planeInProcess({ allowPrivateAddresses: true })
    const url = `${told.url}/services/T0/B0/hunter2`
    const made = await plane.ask('POST', '/webhooks', { name: 'slack', url, format: 'slack', events: ['*'], secret: `file:${secret}` })
    assert.deepEqual([made.status, made.body.format, made.body.url], [201, 'slack', `${told.url}/...`])
    const other = await plane.ask('POST', '/webhooks', { name: 'event', url: `${told.url}/event`, events: ['rollout.created'] })
    assert.equal(other.status, 201)
    await rollout(plane, { state: 'progressing', step: 2, weight: 25 }, BACK)
    await until(() => told.heard.length === 1, 'it is told', TOLD_MS)
    const [{ body, headers, path }] = told.heard as [Heard]
    assert.equal(path, '/services/T0/B0/hunter2')
    const text = BACK_SENTENCE.replace('<&>', '&lt;&amp;&gt;')
    const told1 = JSON.parse(body) as { text: string; blocks: { type: string; text?: object; elements?: { text: string }[] }[] }
    assert.equal(told1.text, text)
    assert.deepEqual(told1.blocks[0], { type: 'section', text: { type: 'mrkdwn', text } })
    assert.match(
      told1.blocks[1]!.elements![0]!.text,
      /^rollout\.updated · default · slipway · <!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|2.*Z>$/,
    )
    assert.equal(headers['content-type'], 'application/json')
    const signed = `${String(headers['x-mlflow-delivery-id'])}.${String(headers['x-mlflow-timestamp'])}.${body}`
    assert.equal(headers['x-mlflow-signature'], `v1,${createHmac('sha256', 'ours').update(signed).digest('base64')}`)
    // Also where it is changed, and in the history.
    const changed = await plane.ask('PATCH', `/webhooks/${made.body.id}`, { events: ['model.*'] })
    assert.equal(changed.body.url, `${told.url}/...`)
    for (const where of ['/webhooks', `/webhooks/${made.body.id}`, '/events', `/webhooks/${made.body.id}/deliveries`])
      assert.ok(!JSON.stringify((await plane.ask('GET', where)).body).includes('hunter2'), where)
  })

  it('a webhook that was corrected is told what it had not taken in its new form, under the same id', async () => {
    await using told = await receiver((count) => (count === 1 ? 400 : 200))
    await using plane = await planeInProcess({ allowPrivateAddresses: true })
    const { body } = await plane.ask('POST', '/webhooks', { name: 'w', url: told.url, events: ['model.*'] })
    await plane.ask('POST', '/models', { name: 'm' })
    await until(async () => (await deliveriesOf(plane, body.id))[0]?.['lastStatus'] === 400, 'it is refused', TOLD_MS)
    assert.equal((await plane.ask('PATCH', `/webhooks/${body.id}`, { format: 'slack' })).status, 200)
    await plane.ask('POST', `/webhooks/${body.id}/deliveries/${(await deliveriesOf(plane, body.id))[0]!['id']}/redeliver`)
    await until(() => told.heard.length === 2, 'it is told again', TOLD_MS)
    assert.equal(JSON.parse(told.heard[0]!.body).entity, 'registered_model')
    assert.equal(JSON.parse(told.heard[1]!.body).text, 'the model m was registered by local')
    assert.equal(told.heard[0]!.headers['idempotency-key'], told.heard[1]!.headers['idempotency-key'])
  })
})

it('who is told is looked at: the address, what it takes, and whether it can be told at all', async () => {
  await using plane = await planeInProcess({ allowPrivateAddresses: true })
  const topic = 'sns:arn:aws:sns:eu-central-1:123456789012:releases'
  const refused: [object, RegExp][] = [
    [{ url: 'mailto:a@example.org' }, /no server that takes mail; start it with --smtp-url and --smtp-from/],
    [{ url: 'mailto:a@example.org,b@example.org' }, /is no address of one mailbox; expected one such as mailto:/],
    [{ url: 'mailto:a@example.org?bcc=b@example.org' }, /is no address of one mailbox/],
    [{ url: 'mailto:a%0d%0a@example.org' }, /is no address of one mailbox/],
    [{ url: 'sns:arn:aws:sns:evil.example.org/:123456789012:x' }, /is no topic; expected one such as sns:arn:aws:sns:/],
    [{ url: topic, format: 'slack' }, /does not take the format slack; expected sns/],
    [{ url: 'https://example.org/', format: 'email' }, /does not take the format email; expected event, slack, sns/],
    [{ url: topic, secret: 'env:X' }, /what goes to sns: is not signed by a secret/],
    [{ url: 'ftp://example.org/' }, /is no URL that begins with https/],
    [{ url: 'https://example.org/', format: 'xml' }, /must be one of/],
  ]
  for (const [fields, message] of refused) {
    const answer = await plane.ask('POST', '/webhooks', { name: 'x', events: ['*'], ...fields })
    assert.equal(answer.status, 400, JSON.stringify(fields))
    assert.match(JSON.stringify(answer.body), message)
  }
  const { body } = await plane.ask('POST', '/webhooks', { name: 'x', events: ['*'], url: topic })
  assert.equal(body.format, 'sns')
  assert.equal((await plane.ask('PATCH', `/webhooks/${body.id}`, { secret: 'env:X' })).status, 400)
  const moved = await plane.ask('PATCH', `/webhooks/${body.id}`, { url: 'https://example.org/' })
  assert.equal(moved.body.format, 'event', 'another kind of address begins with its own default')
})

it('a topic of SNS gets the event and a sentence, and what SNS says is noted', { timeout: 300_000 }, async () => {
  await using moto = await startMoto()
  process.env['AWS_ENDPOINT_URL_SNS'] = moto.endpoint
  const sns = async (parameters: Record<string, string>): Promise<string> => {
    const response = await askAws({
      service: 'sns',
      setting: 'SNS',
      region: 'eu-central-1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: String(new URLSearchParams({ Version: '2010-03-31', ...parameters })),
      timeoutMs: 20_000,
    })
    const text = (await response.toArray()).join('')
    assert.equal(response.statusCode, 200, text)
    return text
  }
  try {
    await using told = await receiver()
    const arn = /<TopicArn>(.*?)<\/TopicArn>/.exec(await sns({ Action: 'CreateTopic', Name: 'releases' }))![1]!
    await sns({ Action: 'Subscribe', TopicArn: arn, Protocol: 'http', Endpoint: `${told.url}/subscriber` })
    const ordered = { 'Attributes.entry.1.key': 'FifoTopic', 'Attributes.entry.1.value': 'true' }
    const fifo = /<TopicArn>(.*?)<\/TopicArn>/.exec(await sns({ Action: 'CreateTopic', Name: 'ordered.fifo', ...ordered }))![1]!
    await using plane = await planeInProcess({ allowPrivateAddresses: true })
    const create = async (url: string, fields: object = {}): Promise<string> =>
      (await plane.ask('POST', '/webhooks', { name: url.slice(-8), url, events: ['model.*'], ...fields })).body.id as string
    const [topic, inOrder, missing, direct] = [
      await create(`sns:${arn}`),
      await create(`sns:${fifo}`),
      await create(`sns:${arn}-missing`),
      await create(`${told.url}/direct`, { format: 'sns' }),
    ]
    await plane.ask('POST', '/models', { name: 'größe', description: 'd' })
    const stateOf = async (id: string): Promise<unknown> => (await deliveriesOf(plane, id))[0]?.['state']
    for (const id of [topic, inOrder, direct]) await until(async () => (await stateOf(id)) === 'delivered', 'it is taken', TOLD_MS)
    await until(async () => (await deliveriesOf(plane, missing))[0]?.['attempts'] === 1, 'it is refused', TOLD_MS)
    assert.match((await deliveriesOf(plane, missing))[0]!['lastError'], /SNS answered 404: NotFound: /)
    await until(() => told.heard.length >= 2, 'both are told')
    const bodyOf = (path: string): Record<string, any> => JSON.parse(told.heard.find((heard) => heard.path === path)!.body)
    const [theirs, ours] = [bodyOf('/subscriber'), bodyOf('/direct')]
    for (const envelope of [theirs, ours]) {
      assert.equal(envelope['Type'], 'Notification')
      assert.equal(envelope['Subject'], 'the model gr??e was registered by local')
      const event = JSON.parse(envelope['Message'])
      assert.deepEqual([event.entity, event.data.name, event.slipway.after.description], ['registered_model', 'größe', 'd'])
      assert.ok(Number.isFinite(Date.parse(envelope['Timestamp'])))
    }
    const directHeard = told.heard.find(({ path }) => path === '/direct')!
    assert.equal(directHeard.headers['x-amz-sns-message-type'], 'Notification')
    assert.equal(ours['MessageId'], directHeard.headers['idempotency-key'])
  } finally {
    delete process.env['AWS_ENDPOINT_URL_SNS']
  }
})

describe('mail', () => {
  const secrets = new Secrets({ environment: { SMTP_PASSWORD: 'between us' } })
  const password = secrets.secret('p', 'env:SMTP_PASSWORD')

  it('is a sentence and what is known, sent as the user of the server, and tried again under the same id', async () => {
    await using mail = await mailReceiver(
      {
        disabledCommands: ['STARTTLS'],
        allowInsecureAuth: true,
        authOptional: false,
        onAuth: ({ username, password: given }, _, callback) =>
          given === 'between us' ? callback(null, { user: username }) : callback(new Error('who are you')),
      },
      (_, count) => {
        if (count === 1) throw Object.assign(new Error('the mailbox is busy'), { responseCode: 451 })
      },
    )
    await using plane = await planeInProcess({
      mail: { url: `smtp://slipway@127.0.0.1:${mail.port}`, from: 'Slipway <slipway@example.org>', password },
    })
    const made = await plane.ask('POST', '/webhooks', { name: 'team', url: 'mailto:team@example.org', events: ['*'] })
    assert.deepEqual([made.status, made.body.format], [201, 'email'])
    await rollout(plane, { state: 'progressing', step: 2, weight: 25 }, BACK)
    await until(async () => (await deliveriesOf(plane, made.body.id))[0]?.['attempts'] === 1, 'it is refused', TOLD_MS)
    const [refused] = await deliveriesOf(plane, made.body.id)
    assert.match(refused!['lastError'], /451 the mailbox is busy/)
    assert.deepEqual([refused!['state'], refused!['lastStatus']], ['pending', 451])
    await until(() => mail.mails.length === 2, 'it is tried again by itself', TOLD_MS)
    await until(async () => (await deliveriesOf(plane, made.body.id))[0]?.['state'] === 'delivered', 'it is noted')
    assert.equal((await deliveriesOf(plane, made.body.id))[0]!['lastStatus'], 250)
    const [first, second] = mail.mails
    assert.deepEqual([second!.from, second!.to, second!.user], ['slipway@example.org', ['team@example.org'], 'slipway'])
    assert.equal(second!.headers['subject'], `[slipway] ${BACK_SENTENCE}`)
    assert.equal(second!.headers['from'], 'Slipway <slipway@example.org>')
    assert.equal(second!.headers['auto-submitted'], 'auto-generated')
    assert.equal(second!.headers['message-id'], `<${refused!['id']}@example.org>`)
    assert.equal(second!.headers['message-id'], first!.headers['message-id'])
    assert.match(
      second!.text,
      /^churn: version 7 was rolled back.*\r?\n\r?\nwhat {3}rollout\.updated churn\/3\r?\nwhere {2}environment default\r?\nwho {4}slipway/,
    )
  })

  it('goes by TLS where the server has it, believes no certificate of strangers, and sends no password in the clear', async () => {
    await using folder = await temporaryFolder()
    const ours = await authority(folder.path)
    const { cert, key } = await ours.issue('mail')
    const tls = { cert: await readFile(cert), key: await readFile(key) }
    await using starting = await mailReceiver(tls)
    await using secure = await mailReceiver({ ...tls, secure: true })
    for (const [port, scheme] of [
      [starting.port, 'smtp'],
      [secure.port, 'smtps'],
    ] as const) {
      await using data = await temporaryFolder()
      const args = ['--data', data.path, '--no-server', '--smtp-url', `${scheme}://localhost:${port}`, '--smtp-from', 's@example.org']
      await using stranger = await upInChild(args)
      const made = await slipway(['webhook', 'add', 'team', 'mailto:team@example.org', '--url', stranger.url, '-o', 'name'])
      const test = await slipway(['webhook', 'test', made.stdout.trim(), '--url', stranger.url])
      assert.equal(test.code, 7, test.stdout + test.stderr)
      assert.match(test.stderr, /the receiver has not taken the test: .*certificate/)
      stranger.signal('SIGTERM')
      await stranger.exit
      await using friend = await upInChild(args, { NODE_EXTRA_CA_CERTS: ours.cert })
      const taken = await slipway(['webhook', 'test', made.stdout.trim(), '--url', friend.url])
      assert.equal(taken.code, 0, taken.stdout + taken.stderr)
      assert.match(taken.stdout, /delivered/)
    }
    for (const { mails } of [starting, secure])
      assert.deepEqual(mails.map(({ secure: covered, to }) => [covered, to]).at(-1), [true, ['team@example.org']])
    const remote = mailServerOf({ url: 'smtp://me@mail.example.org', from: 's@example.org', password })
    assert.equal(remote.requireTls, true)
    let asked = 0
    await using clear = await mailReceiver({
      disabledCommands: ['STARTTLS'],
      allowInsecureAuth: true,
      onAuth: (_, __, callback) => callback(null, { user: `u${asked++}` }),
    })
    const letter = { kind: 'mail', to: 'a@example.org', subject: 's', text: 't', id: '1' } as const
    const sent = sendMail({ ...remote, host: '127.0.0.1', port: clear.port }, letter, new AbortController().signal)
    await assert.rejects(sent, /STARTTLS|TLS/)
    assert.deepEqual([asked, clear.mails.length], [0, 0])
  })

  it('that was on its way when the process was killed comes from the next one, under the same id', { timeout: 180_000 }, async () => {
    const stuck = Promise.withResolvers<void>()
    await using mail = await mailReceiver({ disabledCommands: ['STARTTLS'], closeTimeout: 100 }, (_, count) =>
      count === 1 ? stuck.promise : undefined,
    )
    await using folder = await temporaryFolder()
    const args = ['--data', folder.path, '--no-server', '--smtp-url', `smtp://127.0.0.1:${mail.port}`, '--smtp-from', 's@example.org']
    await using first = await upInChild(args)
    const { stdout: id } = await slipway(['webhook', 'add', 'team', 'mailto:team@example.org', '--url', first.url, '-o', 'name'])
    assert.equal((await first.call('POST', 'registered-models/create', { name: 'm' })).status, 200)
    await until(() => mail.mails.length === 1, 'it is on its way', TOLD_MS)
    first.signal('SIGKILL')
    await first.exit
    await using second = await upInChild(args)
    await until(() => mail.mails.length === 2, 'it comes again', 60_000)
    stuck.resolve()
    assert.equal(mail.mails[0]!.headers['message-id'], mail.mails[1]!.headers['message-id'])
    assert.match(mail.mails[1]!.headers['subject']!, /the model m was registered by local/)
    const listed = await slipway(['webhook', 'deliveries', id.trim(), '--url', second.url])
    assert.match(listed.stdout, /delivered/)
  })

  it('goes by a server that is named in full, and whose password lies elsewhere', () => {
    const from = 'slipway@example.org'
    assert.deepEqual(mailServerOf({ url: 'smtp://mail.example.org', from }), {
      host: 'mail.example.org',
      port: 587,
      secure: false,
      requireTls: false,
      user: undefined,
      password: undefined,
      from,
    })
    assert.deepEqual([mailServerOf({ url: 'smtps://[::1]', from }).port, mailServerOf({ url: 'smtps://[::1]', from }).host], [465, '::1'])
    const refused: [Parameters<typeof mailServerOf>[0], RegExp][] = [
      [{ url: 'mail.example.org:25', from }, /expected smtp:\/\/USER@HOST:PORT/],
      [{ url: 'smtp://me:hunter2@mail.example.org', from }, /a password does not belong into the URL; name the place/],
      [{ url: 'smtp://me@mail.example.org', from }, /a user \(in the URL\) and a password belong together/],
      [{ url: 'smtp://mail.example.org', from, password }, /belong together/],
      [{ url: 'smtp://mail.example.org', from: 'slipway' }, /"slipway" is no sender; expected/],
      [{ url: 'smtp://mail.example.org', from: 'a@example.org\r\nBcc: b@example.org' }, /is no sender/],
    ]
    for (const [options, message] of refused)
      assert.throws(
        () => mailServerOf(options),
        (error: Error) => message.test(error.message) && !error.message.includes('hunter2'),
      )
  })
})

it('a test reaches whoever is tested and nobody else, whatever they want to be told of, and says what came of it', async () => {
  await using good = await receiver()
  await using bad = await receiver(() => 500)
  await using plane = await planeInProcess({ allowPrivateAddresses: true })
  const add = async (name: string, url: string): Promise<string> => {
    const made = await slipway(['webhook', 'add', name, url, '--event', 'alias.*', '--format', 'slack', '--url', plane.url, '-o', 'name'])
    assert.equal(made.code, 0, made.stderr)
    return made.stdout.trim()
  }
  const [one, other] = [await add('one', good.url), await add('other', bad.url)]
  const test = await slipway(['webhook', 'test', one, '--url', plane.url])
  assert.equal(test.code, 0, test.stderr)
  assert.equal(JSON.parse(good.heard[0]!.body).text, 'this is a test of the webhook "one", and it has arrived')
  const failed = await slipway(['webhook', 'test', other, '--url', plane.url])
  assert.equal(failed.code, 7)
  assert.match(failed.stderr, /the receiver has not taken the test: answered 500; it is tried again by itself/)
  assert.deepEqual([good.heard.length, bad.heard.length], [1, 1])
  await plane.ask('PATCH', `/webhooks/${one}`, { active: false })
  const paused = await plane.ask('POST', `/webhooks/${one}/test`)
  assert.equal(paused.status, 409)
  assert.match(paused.body.detail, /webhook "one" is paused, so nothing is sent; make it active first/)
  assert.equal((await plane.ask('POST', '/webhooks/none/test')).status, 404)
})
