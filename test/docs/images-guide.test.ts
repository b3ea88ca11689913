import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { debianBinary } from '../../scripts/debian-package.ts'
import { cacheFolder } from '../../src/core/cache-folder.ts'
import { debianBase } from '../../src/images/build/debian.ts'
import { keptLayers } from '../../src/images/build/kept-layers.ts'
import { writeLayer } from '../../src/images/build/layer.ts'
import { nodeFiles } from '../../src/images/build/node.ts'
import { createLayoutFolder } from '../../src/images/layout/folder.ts'
import { digestOf, MEDIA_TYPES } from '../../src/images/oci.ts'
import { CUSTOMER, freePort, post, ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ImageConfig, Platform } from '../../src/images/oci.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const run = promisify(execFile)
const PLATFORM: Platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch }

describe('the guide to images', () => {
  let folder: TemporaryFolder
  before(async () => {
    folder = await temporaryFolder()
    await symlink(join(ROOT, 'examples'), join(folder.path, 'examples'))
    await symlink(join(ROOT, 'bin/slipway'), join(folder.path, 'slipway'))
  })
  after(() => folder[Symbol.asyncDispose]())

  it('its commands build what it says', async () => {
    const page = await readFile(join(ROOT, 'docs/guides/images.md'), 'utf8')
    const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
    const env = { ...process.env, PATH: `${folder.path}:${dirname(process.execPath)}:${process.env['PATH']}` }
    const { stdout } = await run('sh', ['-euc', blocks.join('\n')], { cwd: folder.path, env })
    assert.match(stdout, /^model +[\d.]+ \S+ +[\d.]+ \S+ +[0-9a-f]{12} +churn$/m)
    assert.match(stdout, /^churn\.tar$/m)
    assert.match(stdout, /^churn-image\/Dockerfile$/m)
  })

  it('the Dockerfile is built by podman, of the base that Slipway assembles, and its image serves as nobody', async () => {
    await writeBase(join(folder.path, 'base.oci'))
    const podman = await debianBinary('podman')
    await debianBinary('runc')
    const storage = ['--root', join(folder.path, 'storage'), '--runroot', join(folder.path, 'running'), '--storage-driver', 'vfs']
    const common = [...storage, '--runtime', 'runc', '--cgroup-manager', 'cgroupfs']
    // By a path from the current folder: podman makes a name of it, which has small letters only.
    const base = 'oci:base.oci:base'
    const args = ['build', '--layers=false', '--isolation', 'chroot', '--network', 'host', '--format', 'docker']
    const built = await run(
      podman,
      [...common, ...args, '--build-arg', `BASE=${base}`, '--build-arg', `NODE=${base}`, '--tag', 'churn:1', 'churn-image'],
      { cwd: folder.path, maxBuffer: 16 * 1024 * 1024 },
    )
    assert.match(built.stdout + built.stderr, /ok {2}churn version 1/, 'the model is checked while it is built')
    const [port, grpcPort] = [await freePort(), await freePort()]
    const name = `slipway-guide-${process.pid}`
    const limits = ['--read-only', '--tmpfs', '/tmp', '--memory', '512m', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
    const variables = { SLIPWAY_HOST: '127.0.0.1', SLIPWAY_PORT: port, SLIPWAY_GRPC_PORT: grpcPort }
    const environment = Object.entries(variables).flatMap(([variable, value]) => ['--env', `${variable}=${value}`])
    const child = spawn(podman, [...common, 'run', '--rm', '--name', name, '--network', 'host', ...limits, ...environment, 'churn:1'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
    const { promise: exit, resolve } = Promise.withResolvers<number | null>()
    child.once('exit', resolve)
    try {
      const url = `http://127.0.0.1:${port}`
      await until(async () => (await fetch(`${url}/ready`).catch(() => undefined))?.ok === true, 'the container is ready', 60_000)
      assert.equal((await post(`${url}/predict`, { inputs: [CUSTOMER] })).status, 200)
      await run(podman, [...common, 'healthcheck', 'run', name])
      await run(podman, [...common, 'stop', '--time', '30', name])
      assert.equal(await exit, 0, said)
    } finally {
      await run(podman, [...common, 'rm', '--force', '--ignore', name]).catch(() => {})
    }
  })
})

/** An image of the base `debian` with Node, in place of those that the Dockerfile names, which lie in a registry. */
async function writeBase(path: string): Promise<void> {
  await using scratch = await temporaryFolder()
  const sink = await createLayoutFolder(path)
  const files = [...(await debianBase(PLATFORM)).files, ...(await nodeFiles(PLATFORM, ROOT, []))]
  const kept = keptLayers(cacheFolder('layers'))
  const layer = await writeLayer(files, sink, { compression: 'gzip', level: 1, mtime: 0, scratch: scratch.path, kept })
  const config: ImageConfig = { ...PLATFORM, rootfs: { type: 'layers', diff_ids: [layer.diffId] } }
  const bytes = Buffer.from(JSON.stringify(config))
  const place = { mediaType: MEDIA_TYPES.config, digest: digestOf(bytes), size: bytes.length }
  await sink.write(place, () => ReadableStream.from([bytes]))
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: place, layers: [layer.descriptor] }),
  )
  await sink.writeManifest({ mediaType: MEDIA_TYPES.manifest, digest: digestOf(manifest), size: manifest.length }, manifest, 'base')
}
