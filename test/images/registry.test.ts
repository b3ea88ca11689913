import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { debianBinary } from '../../scripts/debian-package.ts'
import { crane } from '../../scripts/image-tools.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { copyImage } from '../../src/images/copy.ts'
import { digestOf } from '../../src/images/oci.ts'
import { attachReferrer } from '../../src/images/registry/referrers.ts'
import { findCredentials } from '../../src/images/registry/credentials.ts'
import { parseReference, referenceText } from '../../src/images/registry/reference.ts'
import { openRegistry } from '../../src/images/registry/registry.ts'
import { startMoto } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { testImage, testIndex } from './images.ts'
import { PASSWORD, startCuttingProxy, startDockerRegistry, startGoRegistry, startTokenServer, USER } from './registries.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestRegistry } from './registries.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
/** Nobody's configuration: what the machine knows of registries is not what is tested. */
const NOBODY = { HOME: '/nonexistent' }
const FAST = { pauseMs: 5, environment: NOBODY } as const

describe('images in a registry without referrers (docker-registry)', () => {
  let registry: TestRegistry
  before(async () => {
    registry = await startDockerRegistry()
  })
  after(() => registry[Symbol.asyncDispose]())

  it('an image that was pushed is valid to crane, readable to skopeo, and comes back with the same bytes', async () => {
    const image = await testImage(3 * MIB)
    const sink = openRegistry(`${registry.host}/team/churn:1`, FAST)
    await copyImage(image, sink, image.root, { tag: '1' })
    const name = `${registry.host}/team/churn:1`
    assert.match((await run(await crane(), ['validate', '--remote', name])).stdout, /PASS/)
    assert.equal((await run(await crane(), ['digest', name])).stdout.trim(), image.root.digest)
    assert.equal((await run(await crane(), ['manifest', name])).stdout.trim(), image.blobs.get(image.root.digest)!.toString())
    const seen = JSON.parse((await run(await debianBinary('skopeo'), ['inspect', '--tls-verify=false', `docker://${name}`])).stdout) as {
      Digest: string
    }
    assert.equal(seen.Digest, image.root.digest)
    await using folder = await temporaryFolder()
    await run(await debianBinary('skopeo'), ['copy', '--src-tls-verify=false', `docker://${name}`, `oci:${folder.path}/layout:1`])
    const source = openRegistry(name, FAST)
    const { descriptor } = await source.resolve()
    assert.equal(descriptor.digest, image.root.digest)
    for (const [digest, bytes] of image.blobs) {
      if (digest === image.root.digest) continue
      const got = Buffer.concat(await Array.fromAsync(source.open({ mediaType: 'application/octet-stream', digest, size: bytes.length })))
      assert.ok(got.equals(bytes))
    }
  })

  it('all images of an index are pushed, blobs that they share once, and what is there is not sent again', async () => {
    const [one, two] = [await testImage(2 * MIB), await testImage(1000, 'arm64')]
    const index = testIndex([one, two, one])
    await using proxy = await startCuttingProxy(registry.port, () => false)
    const sink = openRegistry(`${proxy.host}/team/index`, FAST)
    await copyImage(index, sink, index.root, { tag: 'all' })
    assert.ok(proxy.sent > 2 * MIB && proxy.sent < 3 * MIB, `${proxy.sent} bytes`)
    const before = proxy.sent
    await copyImage(index, sink, index.root, { tag: 'again' })
    assert.ok(proxy.sent - before < 20_000, `${proxy.sent - before} bytes`)
    assert.deepEqual([...(await sink.tags())].toSorted(), ['again', 'all'])
    assert.match((await run(await crane(), ['validate', '--remote', `${registry.host}/team/index:all`])).stdout, /PASS/)
    const other = openRegistry(`${registry.host}/team/arm:1`, FAST)
    const copied = await copyImage(sink, other, index.root, { tag: '1', platform: { os: 'linux', architecture: 'arm64' } })
    assert.equal(copied.digest, two.root.digest)
    await assert.rejects(
      copyImage(sink, other, index.root, { platform: { os: 'linux', architecture: 's390x' } }),
      /no image for linux\/s390x; it has linux\/amd64, linux\/arm64/,
    )
  })

  it('a blob that another repository has is mounted from there, and not sent', async () => {
    const image = await testImage(3 * MIB)
    await copyImage(image, openRegistry(`${registry.host}/base/node`, FAST), image.root)
    await using proxy = await startCuttingProxy(registry.port, () => false)
    await copyImage(image, openRegistry(`${proxy.host}/team/derived`, { ...FAST, mountFrom: ['no/such', 'base/node'] }), image.root, {
      tag: '1',
    })
    assert.ok(proxy.sent < 20_000, `${proxy.sent} bytes`)
    assert.match((await run(await crane(), ['validate', '--remote', `${registry.host}/team/derived:1`])).stdout, /PASS/)
  })

  it('an upload in chunks goes on where its connection broke, and sends nothing twice', async () => {
    const image = await testImage(8 * MIB)
    // Cuts before the fifth chunk, and once more before the seventh.
    let chunks = 0
    await using proxy = await startCuttingProxy(registry.port, (part) => {
      if (part.subarray(0, 6).toString() === 'PATCH ') chunks++
      return part.subarray(0, 6).toString() === 'PATCH ' && (chunks === 5 || chunks === 8)
    })
    const sink = openRegistry(`${proxy.host}/team/chunks`, { ...FAST, chunkBytes: MIB })
    await copyImage(image, sink, image.root, { tag: '1' })
    assert.equal(proxy.cuts, 2)
    assert.ok(proxy.sent < 8 * MIB + 100_000, `${proxy.sent} bytes`)
    assert.match((await run(await crane(), ['validate', '--remote', `${registry.host}/team/chunks:1`])).stdout, /PASS/)
  })

  it('an upload whose connection broke within a request is sent again, and one that breaks each time is given up', async () => {
    const image = await testImage(4 * MIB)
    let passed = 0
    await using proxy = await startCuttingProxy(registry.port, (part, cuts) => (passed += part.length) > 2 * MIB && cuts === 0)
    await copyImage(image, openRegistry(`${proxy.host}/team/broken`, FAST), image.root, { tag: '1' })
    assert.equal(proxy.cuts, 1)
    assert.match((await run(await crane(), ['validate', '--remote', `${registry.host}/team/broken:1`])).stdout, /PASS/)
    await using wall = await startCuttingProxy(registry.port, (part) => part.length > 20_000)
    const other = await testImage(4 * MIB)
    await assert.rejects(copyImage(other, openRegistry(`${wall.host}/team/wall`, FAST), other.root), {
      code: 'SLW_UNREACHABLE',
      message: /after 5 attempts/,
    })
  })

  it('a download goes on where its connection broke', async () => {
    const image = await testImage(8 * MIB)
    await copyImage(image, openRegistry(`${registry.host}/team/down`, FAST), image.root, { tag: '1' })
    let passed = 0
    let parts = 0
    await using proxy = await startCuttingProxy(
      registry.port,
      (part) => {
        if (/^range: bytes=[1-9]/im.test(part.toString('latin1'))) parts++
        return false
      },
      (part, cuts) => (passed += part.length) > 3 * MIB * (cuts + 1) && cuts < 2,
    )
    const layer = [...image.blobs].find(([, bytes]) => bytes.length > MIB)!
    const source = openRegistry(`${proxy.host}/team/down`, FAST)
    const got = Buffer.concat(
      await Array.fromAsync(source.open({ mediaType: 'application/octet-stream', digest: layer[0], size: layer[1].length })),
    )
    assert.ok(got.equals(layer[1]))
    assert.equal(proxy.cuts, 2)
    assert.ok(parts >= 1, 'only what is missing is asked for')
  })

  it('what is not there is said with the name', async () => {
    await assert.rejects(openRegistry(`${registry.host}/team/nothing:1`, FAST).resolve(), {
      code: 'SLW_NOT_FOUND',
      message: /team\/nothing:1 .*MANIFEST_UNKNOWN/,
    })
    await assert.rejects(openRegistry(`${registry.host}/team/nothing`, FAST).tags(), {
      code: 'SLW_NOT_FOUND',
      message: /NAME_UNKNOWN.*knows no repository/,
    })
  })
})

describe('what hangs on an image', () => {
  for (const [what, start] of [
    ['a registry that lists referrers', () => startGoRegistry(true)],
    ['a registry that does not', () => startGoRegistry(false)],
    ['docker-registry', () => startDockerRegistry()],
  ] as const)
    it(`is listed by ${what}, also where several hang things on it`, async () => {
      await using registry = await start()
      const image = await testImage(1000)
      const sink = openRegistry(`${registry.host}/team/churn`, FAST)
      await copyImage(image, sink, image.root, { tag: '1' })
      assert.deepEqual(await sink.referrers(image.root.digest), [])
      const made = []
      for (const artifactType of ['application/spdx+json', 'application/vnd.cyclonedx+json'])
        made.push(
          await attachReferrer(sink, image.root, {
            artifactType,
            bytes: Buffer.from(`{"of":"${artifactType}"}`),
            annotations: { 'org.example.by': 'test' },
          }),
        )
      const again = await attachReferrer(sink, image.root, {
        artifactType: 'application/spdx+json',
        bytes: Buffer.from('{"of":"application/spdx+json"}'),
        annotations: { 'org.example.by': 'test' },
      })
      assert.equal(again.digest, made[0]!.digest)
      const found = await sink.referrers(image.root.digest)
      assert.deepEqual(found.map(({ digest }) => digest).toSorted(), made.map(({ digest }) => digest).toSorted())
      assert.deepEqual(found.map(({ artifactType }) => String(artifactType)).toSorted(), [
        'application/spdx+json',
        'application/vnd.cyclonedx+json',
      ])
      assert.deepEqual(found[0]!.annotations, { 'org.example.by': 'test' })
      for (const { digest } of found)
        assert.match(
          (await run(await crane(), ['manifest', `${registry.host}/team/churn@${digest}`])).stdout,
          /application\/vnd.oci.empty.v1\+json/,
        )
    })
})

describe('registries that want to know who asks', () => {
  const mine = { ...FAST, credentials: { username: USER, password: PASSWORD } }

  it('Basic: a push with the password goes through, one without or with another says what to do', async () => {
    await using registry = await startDockerRegistry('basic')
    const image = await testImage(2 * MIB)
    await copyImage(image, openRegistry(`${registry.host}/team/churn`, mine), image.root, { tag: '1' })
    const nobody = openRegistry(`${registry.host}/team/churn:1`, FAST)
    await assert.rejects(nobody.resolve(), { code: 'SLW_UNAUTHENTICATED', message: /UNAUTHORIZED.*--username and --password-stdin/ })
    const wrong = openRegistry(`${registry.host}/team/churn:1`, { ...FAST, credentials: { username: USER, password: 'guess' } })
    await assert.rejects(
      wrong.resolve(),
      (error: Error) => isSlipwayError(error) && error.code === 'SLW_UNAUTHENTICATED' && !error.message.includes('guess'),
    )
  })

  it('Bearer: one token for reading and one for writing, and another for the repository that is mounted from', async () => {
    await using tokens = await startTokenServer()
    await using registry = await startDockerRegistry(tokens)
    const image = await testImage(2 * MIB)
    await copyImage(image, openRegistry(`${registry.host}/team/churn`, mine), image.root, { tag: '1' })
    assert.deepEqual(tokens.asked, [{ how: 'GET', scopes: ['repository:team/churn:pull,push'] }])
    await openRegistry(`${registry.host}/team/churn:1`, mine).resolve()
    assert.deepEqual(tokens.asked.at(-1), { how: 'GET', scopes: ['repository:team/churn:pull'] })
    await using proxy = await startCuttingProxy(registry.port, () => false)
    await copyImage(image, openRegistry(`${proxy.host}/team/derived`, { ...mine, mountFrom: ['team/churn'] }), image.root, { tag: '1' })
    assert.ok(proxy.sent < 30_000, `${proxy.sent} bytes`)
    assert.deepEqual(tokens.asked.at(-1)!.scopes, ['repository:team/derived:pull,push', 'repository:team/churn:pull'])
    await assert.rejects(openRegistry(`${registry.host}/team/churn:1`, FAST).resolve(), {
      code: 'SLW_UNAUTHENTICATED',
      message: /gives none to nobody/,
    })
  })

  it('credentials are found as Docker and Podman keep them: in their files, by helpers, and as tokens that get tokens', async () => {
    await using tokens = await startTokenServer()
    await using registry = await startDockerRegistry(tokens)
    const image = await testImage(1000)
    await copyImage(image, openRegistry(`${registry.host}/team/churn`, mine), image.root, { tag: '1' })
    await using folder = await temporaryFolder()
    const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64')
    const resolves = async (environment: Readonly<Record<string, string>>): Promise<void> => {
      const { descriptor } = await openRegistry(`${registry.host}/team/churn:1`, {
        ...FAST,
        environment: { ...NOBODY, ...environment },
      }).resolve()
      assert.equal(descriptor.digest, image.root.digest)
    }
    await folder.write('docker/config.json', JSON.stringify({ auths: { [registry.host]: { auth } } }))
    await resolves({ DOCKER_CONFIG: `${folder.path}/docker` })
    await folder.write('home/.docker/config.json', JSON.stringify({ auths: { [`https://${registry.host}/v1/`]: { auth } } }))
    await resolves({ HOME: `${folder.path}/home` })
    await folder.write(
      'run/containers/auth.json',
      JSON.stringify({ auths: { [`${registry.host}/team`]: { auth }, [registry.host]: { auth: Buffer.from('x:y').toString('base64') } } }),
    )
    await resolves({ XDG_RUNTIME_DIR: `${folder.path}/run` })
    await folder.write('token/config.json', JSON.stringify({ auths: { [registry.host]: { identitytoken: PASSWORD } } }))
    await resolves({ DOCKER_CONFIG: `${folder.path}/token` })
    assert.equal(tokens.asked.at(-1)!.how, 'POST')
    const helper = await folder.write(
      'bin/docker-credential-test',
      `#!/bin/sh\nread address\n[ "$1 $address" = "get ${registry.host}" ] || { echo 'credentials not found in native keychain'; exit 1; }\necho '{"ServerURL":"x","Username":"${USER}","Secret":"${PASSWORD}"}'\n`,
    )
    await chmod(helper, 0o755)
    const path = `${folder.path}/bin:/usr/bin:/bin`
    await folder.write('helper/config.json', JSON.stringify({ credHelpers: { [registry.host]: 'test' } }))
    await resolves({ DOCKER_CONFIG: `${folder.path}/helper`, PATH: path })
    await folder.write('store/config.json', JSON.stringify({ credsStore: 'test' }))
    await resolves({ DOCKER_CONFIG: `${folder.path}/store`, PATH: path })
    await folder.write('broken/config.json', `{"auths": {"x": {"auth": "${auth}"`)
    await assert.rejects(
      resolves({ DOCKER_CONFIG: `${folder.path}/broken` }),
      (error: Error) => isSlipwayError(error) && error.code === 'SLW_CONFIG_INVALID' && !error.message.includes(auth),
    )
    await folder.write('gone/config.json', JSON.stringify({ credsStore: 'nowhere' }))
    await assert.rejects(resolves({ DOCKER_CONFIG: `${folder.path}/gone`, PATH: path }), {
      code: 'SLW_SECRET_UNAVAILABLE',
      message: /docker-credential-nowhere/,
    })
  })
})

/** A registry that answers as the test wants it to. */
async function answering(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<AsyncDisposable & { readonly host: string; readonly asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    asked.push(request)
    request.resume()
    answer(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const refused = (code: string, message = 'no'): string => JSON.stringify({ errors: [{ code, message }] })

describe('registries that lie, refuse or fail', () => {
  const blob = Buffer.from('the bytes that were asked for')
  const wanted = { mediaType: 'application/octet-stream', digest: digestOf(blob), size: blob.length }

  it('other bytes than a digest is of are refused: of a blob, of a manifest, too many, too few', async () => {
    let given: Buffer = Buffer.from('the bytes that were asked foR')
    await using registry = await answering((_, response) =>
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end(given),
    )
    const source = openRegistry(`${registry.host}/a`, FAST)
    for (given of [given, blob.subarray(1), Buffer.concat([blob, blob]), Buffer.alloc(0)])
      await assert.rejects(Array.fromAsync(source.open(wanted)), { code: 'SLW_STORE_CORRUPT' })
    given = Buffer.from(JSON.stringify({ schemaVersion: 2, config: wanted, layers: [] }))
    await assert.rejects(source.resolve(wanted.digest), {
      code: 'SLW_STORE_CORRUPT',
      message: /other bytes for sha256:.* they are not used/,
    })
    assert.equal((await source.resolve(digestOf(given))).descriptor.digest, digestOf(given))
  })

  it('a manifest is read up to 4 MiB, and is one thing only', async () => {
    let given = Buffer.alloc(5 * MIB, ' ')
    await using registry = await answering((_, response) =>
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end(given),
    )
    const source = openRegistry(`${registry.host}/a:1`, FAST)
    await assert.rejects(source.resolve(), { code: 'SLW_LIMIT_EXCEEDED' })
    await assert.rejects(source.readJson({ ...wanted, size: 5 * MIB }), { code: 'SLW_LIMIT_EXCEEDED' })
    for (const wrong of [
      '<html>',
      '{}',
      '{"schemaVersion":1}',
      JSON.stringify({ schemaVersion: 2, config: wanted, layers: [], manifests: [wanted] }),
      JSON.stringify({ schemaVersion: 2, config: wanted, layers: [{ ...wanted, digest: 'sha256:../../x' }] }),
    ]) {
      given = Buffer.from(wrong)
      await assert.rejects(source.resolve(), { code: 'SLW_ANSWER_INVALID', message: /is no image/ })
    }
  })

  it('what a registry refuses is said in a sentence, with what to do', async () => {
    let status = 0
    let body = ''
    await using registry = await answering((_, response) => response.writeHead(status).end(body))
    const source = openRegistry(`${registry.host}/team/churn:1`, { ...FAST, credentials: { username: USER, password: PASSWORD } })
    for (const [given, text, code, message] of [
      [
        401,
        refused('UNAUTHORIZED'),
        'SLW_UNAUTHENTICATED',
        /refused to give .*team\/churn:1 \(HTTP 401, UNAUTHORIZED: no\).*--password-stdin/,
      ],
      [403, refused('DENIED', 'not you'), 'SLW_FORBIDDEN', /not you.*may not do that/],
      [403, '<html>', 'SLW_FORBIDDEN', /may not do that/],
      [404, refused('NAME_UNKNOWN'), 'SLW_NOT_FOUND', /ECR.*created before/],
      [404, refused('MANIFEST_UNKNOWN'), 'SLW_NOT_FOUND', /no image of that tag/],
      [404, 'nothing', 'SLW_NOT_FOUND', /nothing of that name/],
      [413, '', 'SLW_BODY_TOO_LARGE', /--chunk-size/],
      [400, refused('NAME_INVALID'), 'SLW_INPUT_INVALID', /allows no repository/],
      [418, 'tea', 'SLW_ANSWER_INVALID', /HTTP 418/],
      [429, refused('TOOMANYREQUESTS'), 'SLW_RATE_LIMITED', /asked too often/],
      [500, '', 'SLW_UNREACHABLE', /also when it was asked again/],
    ] as const) {
      status = given
      body = text
      await assert.rejects(source.resolve(), { code, message })
    }
    assert.equal(registry.asked.filter(({ headers }) => headers.authorization !== undefined).length, 0)
  })

  it('a registry that is busy, failing or cut off is asked again, and not before it says', async () => {
    const manifest = JSON.stringify({ schemaVersion: 2, config: wanted, layers: [] })
    const answers = [
      [429, { 'retry-after': '1' }],
      [503, {}],
      [0, {}],
      [200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }],
    ] as const
    const at: number[] = []
    await using registry = await answering((request, response) => {
      const [status, headers] = answers[at.length]!
      at.push(performance.now())
      if (status === 0) request.socket.destroy()
      else response.writeHead(status, headers).end(status === 200 ? manifest : '')
    })
    assert.equal((await openRegistry(`${registry.host}/a:1`, FAST).resolve()).descriptor.size, manifest.length)
    assert.equal(at.length, 4)
    assert.ok(at[1]! - at[0]! > 900, `${at[1]! - at[0]!} ms`)
  })

  it('a registry that falls silent is given up, and one that nobody runs is said so', async () => {
    await using registry = await answering(() => {})
    await assert.rejects(openRegistry(`${registry.host}/a:1`, { ...FAST, timeoutMs: 50 }).resolve(), {
      code: 'SLW_UNREACHABLE',
      message: /nothing came for 0.05 s/,
    })
    assert.equal(registry.asked.length, 5)
    const stop = new AbortController()
    const going = openRegistry(`${registry.host}/a:1`, { ...FAST, signal: stop.signal }).resolve()
    stop.abort(new Error('enough'))
    await assert.rejects(going, /enough/)
  })

  it('credentials are for the registry: a place that it sends on to, and one that it wants an upload at, get none', async () => {
    await using elsewhere = await answering((_, response) => response.writeHead(200).end(blob))
    await using registry = await answering((request, response) => {
      if (request.headers.authorization === undefined) return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      if (request.method === 'POST') return response.writeHead(202, { location: `http://${elsewhere.host}/upload` }).end()
      if (request.method === 'HEAD') return response.writeHead(404).end()
      return response.writeHead(307, { location: `http://${elsewhere.host}/store` }).end()
    })
    const source = openRegistry(`${registry.host}/a:1`, { ...FAST, credentials: { username: USER, password: PASSWORD } })
    assert.ok(Buffer.concat(await Array.fromAsync(source.open(wanted))).equals(blob))
    await assert.rejects(
      source.write(wanted, async function* () {
        yield blob
      }),
      /refused to take the blob/,
    )
    assert.deepEqual(
      elsewhere.asked.map(({ url, headers }) => [url!.split('?')[0], headers.authorization]),
      [
        ['/store', undefined],
        ['/upload', undefined],
      ],
    )
    assert.ok(registry.asked.some(({ headers }) => headers.authorization !== undefined))
  })
})

it('Amazon ECR: a password comes of the credentials of AWS, for the account and region of the registry', async () => {
  await using moto = await startMoto()
  const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com'
  const found = await findCredentials(host, 'team/churn', { ...NOBODY, AWS_ENDPOINT_URL_ECR: moto.endpoint })
  assert.deepEqual(found, { username: 'AWS', password: '123456789012-auth-token' })
  assert.equal(await findCredentials('123456789012.dkr.ecr.eu-central-1.example.com', 'team/churn', NOBODY), undefined)
})

it('names of images are read as Docker reads them', () => {
  const digest = `sha256:${'0a'.repeat(32)}`
  for (const [text, full] of [
    ['debian', 'docker.io/library/debian'],
    ['team/churn:1', 'docker.io/team/churn:1'],
    ['localhost/churn', 'localhost/churn'],
    ['localhost:5000/a/b_c/d-e.f:v1.2-3', 'localhost:5000/a/b_c/d-e.f:v1.2-3'],
    [`ghcr.io/team/churn:1@${digest}`, `ghcr.io/team/churn:1@${digest}`],
    ['[::1]:5000/a', '[::1]:5000/a'],
    ['index.docker.io/debian', 'docker.io/library/debian'],
  ] as const)
    assert.equal(referenceText(parseReference(text)), full)
  for (const text of [
    '',
    'A',
    'a//b',
    'host.x/',
    'a:',
    'a:-x',
    'a@sha256:1',
    'https://a.b/c',
    'a/../b',
    'a b',
    `a:${'x'.repeat(129)}`,
    'x'.repeat(300),
    '-a.b/c',
  ])
    assert.throws(() => parseReference(text), { code: 'SLW_USAGE' }, text)
})
