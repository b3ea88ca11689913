import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFile, readFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { isSlipwayError } from '../../src/core/errors.ts'
import { ask, listeningLogger } from '../asking.ts'
import { authority } from '../certificates.ts'
import { CUSTOMER, example, ROOT, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { TLSSocket } from 'node:tls'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'
import type { Authority } from '../certificates.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

type Pair = Awaited<ReturnType<Authority['issue']>>

const row = JSON.stringify(CUSTOMER)
let folder: TemporaryFolder
let signer: Authority
let ca: Buffer
let first: Pair
let second: Pair

before(async () => {
  folder = await temporaryFolder()
  signer = await authority(folder.path)
  ca = await readFile(signer.cert)
  first = await signer.issue('first')
  second = await signer.issue('second')
})
after(() => folder[Symbol.asyncDispose]())

const serve = (tls: StartServerOptions['tls'], options: StartServerOptions = {}): Promise<SlipwayServer> =>
  serveExamples(['churn'], { ...(tls !== undefined && { tls }), serving: { instances: 1 }, environment: {}, ...options })

/** A copy of a pair, to be written over. */
async function live(name: string, pair: Pair = first): Promise<Pair> {
  const copy = { cert: join(folder.path, `${name}.pem`), key: join(folder.path, `${name}.key`) }
  await copyFile(pair.cert, copy.cert)
  await copyFile(pair.key, copy.key)
  return copy
}

/** The name in the certificate that a server shows now. */
function shown(server: SlipwayServer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: server.port, host: '127.0.0.1', ca, servername: 'localhost' }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

describe('a server with a certificate', () => {
  it('speaks https, says so, and nothing else', async () => {
    await using server = await serve(first)
    assert.match(server.url, /^https:\/\/127\.0\.0\.1:\d+$/)
    assert.equal((await ask(`${server.url}/predict`, { ca, body: row, headers: { 'content-type': 'application/json' } })).status, 200)
    await assert.rejects(ask(`http://127.0.0.1:${server.port}/ready`), { code: 'ECONNRESET' })
    const { servers } = JSON.parse((await ask(`${server.url}/openapi.json`, { ca })).text) as { servers: { url: string }[] }
    assert.equal(servers[0]?.url, server.url)
  })

  it('does not speak TLS 1.1', async () => {
    await using server = await serve(first)
    await assert.rejects(ask(`${server.url}/ready`, { ca, maxVersion: 'TLSv1.1' }), (error: NodeJS.ErrnoException) =>
      /PROTOCOL|VERSION/.test(error.code ?? ''),
    )
    assert.equal((await ask(`${server.url}/ready`, { ca, maxVersion: 'TLSv1.2' })).status, 200)
  })

  it('lets only clients with a certificate of the client authority in, where there is one', async () => {
    const stranger = await (await authority(folder.path, 'stranger')).issue('strange-client')
    await using server = await serve({ ...first, clientCa: signer.cert })
    const as = async (pair: Pair) => ({ ca, cert: await readFile(pair.cert), key: await readFile(pair.key) })
    assert.equal((await ask(`${server.url}/ready`, await as(second))).status, 200)
    await assert.rejects(ask(`${server.url}/ready`, { ca }))
    await assert.rejects(ask(`${server.url}/ready`, await as(stranger)))
  })

  it('shows another certificate when its files are written over, without being told, and old connections go on', async () => {
    const files = await live('followed')
    await using server = await serve(files)
    assert.equal(await shown(server), 'first')
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca })
    const over = () => fetchOver(server.url, agent)
    assert.equal(await over(), 'first')
    await copyFile(second.cert, files.cert)
    await copyFile(second.key, files.key)
    await until(async () => (await shown(server)) === 'second', 'the new certificate is shown')
    assert.equal(await over(), 'first')
    agent.destroy()
  })

  it('keeps the old pair while the new one is broken, says why, and takes it when it is whole', async () => {
    const files = await live('half')
    const log = listeningLogger()
    await using server = await serve(files, { logger: log })
    await copyFile(second.cert, files.cert)
    const [failure] = await server.security.reload()
    assert.equal(failure?.code, 'SLW_CONFIG_INVALID')
    assert.match(failure.message, /half\.pem and tls\.key .*half\.key are no pair/)
    assert.equal(await shown(server), 'first')
    assert.ok(log.lines.some((line) => /^error going on with the old TLS certificate: .*are no pair/.test(line)))
    await copyFile(second.key, files.key)
    assert.deepEqual(await server.security.reload(), [])
    assert.equal(await shown(server), 'second')
  })

  it('tells a broken pair once when nobody asks, not at every look', async () => {
    const files = await live('watched')
    const log = listeningLogger()
    await using server = await serve(files, { logger: log })
    await folder.write('watched.key', 'no key')
    const told = (): number => log.lines.filter((line) => line.startsWith('error going on with the old TLS certificate')).length
    await until(() => told() > 0, 'it is told')
    await copyFile(second.cert, files.cert)
    await copyFile(second.key, files.key)
    await until(async () => (await shown(server)) === 'second', 'the next pair is shown')
    // At most one more, where the look came between the two files.
    assert.ok(told() <= 2)
  })

  it('is not held up in closing by a client that never began to speak', async () => {
    await using server = await serve(first, { shutdown: { pauseMs: 0, graceMs: 20_000 } })
    const silent = connect(server.port, '127.0.0.1')
    await new Promise((resolve) => silent.once('connect', resolve))
    silent.on('error', () => {})
    // So that the server knows of it for certain.
    assert.equal((await ask(`${server.url}/ready`, { ca })).status, 200)
    assert.equal(await server.drain(), true)
    silent.destroy()
  })

  it('lets go of a reader that stopped reading', async () => {
    await using server = await serve(first, { serving: { instances: 1, queueRows: 1_000_000 }, limits: { stallMs: 1000 } })
    const rows = 90_000
    const data = Array.from({ length: rows }, () => '2,95.5,6,1,0,0,1,0,0,1').join()
    const body = `{"inputs":[{"name":"customers","datatype":"FP32","shape":[${rows},10],"data":[${data}]}]}`
    let closed = false
    const raw = connect(server.port, '127.0.0.1')
    const socket = connectTls({ socket: raw, ca, servername: 'localhost' }, () => {
      socket.pause()
      raw.pause()
      for (let times = 0; times < 5; times++)
        socket.write(`POST /v2/models/churn/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    })
    socket.on('close', () => (closed = true))
    socket.on('error', () => {})
    await until(
      () => {
        if (!socket.destroyed) socket.write('\r\n')
        return closed
      },
      'the stalled connection is closed',
      30_000,
    )
    assert.equal((await ask(`${server.url}/ready`, { ca })).status, 200)
  })
})

it('the command takes certificate and keys, and its first line to try says https and where the key goes', async () => {
  const keys = await folder.write('keys.yaml', 'keys: [{ name: app, key: app-key-0123456789abcdef }]')
  const args = [
    'serve',
    example('churn'),
    '--host',
    '0.0.0.0',
    '--port',
    '0',
    '--tls-cert',
    first.cert,
    '--tls-key',
    first.key,
    '--api-keys-file',
    keys,
  ]
  const child = spawn(join(ROOT, 'bin/slipway'), args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  try {
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await until(() => said.includes('curl'), `the server starts; it said: ${said}`)
    assert.match(said, /curl -s -H "authorization: Bearer \$KEY" https:\/\/0\.0\.0\.0:\d+\/models\/churn\/predict/)
    const url = `https://localhost:${/:(\d+)\/predict/.exec(said)?.[1]}`
    assert.equal((await ask(`${url}/v2`, { ca })).status, 401)
    assert.equal((await ask(`${url}/v2`, { ca, headers: { 'x-api-key': 'app-key-0123456789abcdef' } })).status, 200)
  } finally {
    child.kill('SIGKILL')
    await ended
  }
})

describe('a certificate that cannot be used is told at start', () => {
  const fails = (says: RegExp) => (error: unknown) => {
    assert.ok(isSlipwayError(error) && error.code === 'SLW_CONFIG_INVALID', String(error))
    assert.match(error.message, says)
    return true
  }

  it('where certificate and key are of two pairs', async () => {
    await assert.rejects(serve({ cert: first.cert, key: second.key }), fails(/first\.pem and tls\.key .*second\.key are no pair/))
  })

  it('where one of the two, or the file, is missing or something else', async () => {
    const text = await folder.write('text.pem', 'no certificate')
    await assert.rejects(serve({ cert: first.cert }), fails(/--tls-key/))
    await assert.rejects(serve({ key: first.key }), fails(/--tls-cert/))
    await assert.rejects(serve({ clientCa: signer.cert }), fails(/--tls-cert/))
    await assert.rejects(serve({ ...first, cert: join(folder.path, 'nowhere.pem') }), fails(/tls\.cert .*nowhere\.pem cannot be read/))
    await assert.rejects(serve({ ...first, key: join(folder.path, 'nowhere.key') }), fails(/tls\.key .*nowhere\.key cannot be read/))
    await assert.rejects(serve({ ...first, cert: text }), fails(/tls\.cert .*text\.pem: no certificate in PEM form/))
    await assert.rejects(serve({ ...first, clientCa: text }), fails(/tls\.clientCa .*text\.pem: no certificate in PEM form/))
  })

  it('and one that has expired is warned of', async () => {
    const log = listeningLogger()
    const expired = await signer.issue('expired', -1)
    await using _server = await serve(expired, { logger: log })
    assert.ok(log.lines.some((line) => /^warn the TLS certificate .*expired\.pem expired on \d{4}-/.test(line)))
  })
})

/** The name in the certificate of the one connection that an agent keeps. */
function fetchOver(url: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/ready`, { agent }, (response) => {
      const { CN } = (response.socket as TLSSocket).getPeerCertificate().subject
      response.resume().on('end', () => resolve(String(CN)))
    })
    sent.once('error', reject)
    sent.end()
  })
}
