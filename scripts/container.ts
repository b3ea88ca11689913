/**
 * Containers for tests and measurements, with runc alone: an image is unpacked by umoci, and runs on the network of this machine. Needs root,
 * as both of them do here.
 */
import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { debianBinary } from './debian-package.ts'

const run = promisify(execFile)

interface Bundle {
  process: { terminal: boolean; env: string[]; args: string[]; user: { uid: number; gid: number } }
  root: { readonly: boolean }
  mounts: object[]
  linux: { namespaces: { type: string }[]; resources?: object; cgroupsPath?: string }
}

export interface ContainerOptions {
  /** Folder of the layout, and the tag of the image in it. */
  readonly layout: string
  readonly tag: string
  /** An empty folder. */
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>
  readonly memoryBytes: number
}

export interface Container extends AsyncDisposable {
  /** Path of the root file system. */
  readonly root: string
  said(): string
  /** Runs a program in it. @returns its exit code */
  run(...words: readonly string[]): Promise<number>
  signal(name: string): Promise<void>
  /** Exit code of its first process. */
  readonly exit: Promise<number | null>
}

/** Unpacks an image. @returns what starts it, as often as wanted */
export async function unpackedImage(
  options: ContainerOptions,
): Promise<{ readonly root: string; readonly start: () => Promise<Container> }> {
  const { layout, tag, folder, environment, memoryBytes } = options
  const [umoci, runc] = [await debianBinary('umoci'), await debianBinary('runc')]
  const bundle = join(folder, 'bundle')
  await run(umoci, ['unpack', '--image', `${layout}:${tag}`, bundle])
  const file = join(bundle, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8')) as Bundle
  config.process.terminal = false
  config.process.env.push(...Object.entries(environment).map(([name, value]) => `${name}=${value}`))
  config.root.readonly = true
  config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== 'network')
  config.linux.resources = { ...config.linux.resources, memory: { limit: memoryBytes } }
  config.mounts.push({ destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', 'size=64m'] })
  await writeFile(file, JSON.stringify(config))
  const root = join(bundle, 'rootfs')
  const state = join(folder, 'state')
  return {
    root,
    start: async () => {
      const id = `slipway-${randomUUID()}`
      const child = spawn(runc, ['--root', state, 'run', '--bundle', bundle, id], { stdio: ['ignore', 'pipe', 'pipe'] })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
      const { promise: exit, resolve } = Promise.withResolvers<number | null>()
      child.once('exit', resolve)
      return await Promise.resolve({
        root,
        exit,
        said: () => said,
        run: (...words: readonly string[]) =>
          run(runc, ['--root', state, 'exec', id, ...words]).then(
            () => 0,
            (error: { code?: number }) => error.code ?? 1,
          ),
        signal: async (name: string) => void (await run(runc, ['--root', state, 'kill', id, name])),
        async [Symbol.asyncDispose]() {
          await run(runc, ['--root', state, 'delete', '--force', id]).catch(() => {})
          await exit
        },
      })
    },
  }
}
