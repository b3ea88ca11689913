import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { added, adders, deploy, setAlias } from './following.ts'

const MEGABYTE = 1024 * 1024

/** How a disk is had that takes no more from one moment on, and does again from another. */
interface Disk {
  readonly through: readonly string[]
  /** What a write to it says. */
  readonly says: RegExp
  fill(pid: number, store: string): Promise<void>
  empty(pid: number, store: string): Promise<void>
}

const NAMESPACE = ['unshare', '--map-root-user', '--mount']

/** A file system in memory that the server alone sees, and this test by `/proc`; another program fills it. */
const FILE_SYSTEM: Disk = {
  through: [...NAMESPACE, 'sh', '-c', 'mount -t tmpfs -o size=64m tmpfs "$STORE" && exec "$0" "$@"'],
  says: /ENOSPC: no space left/,
  async fill(pid, store) {
    const inside = join(`/proc/${pid}/root`, store)
    const { bavail, bsize } = await statfs(inside)
    await writeFile(join(inside, 'of-another-program'), Buffer.alloc(bavail * bsize - MEGABYTE))
  },
  empty: (pid, store) => rm(join(`/proc/${pid}/root`, store, 'of-another-program')),
}

/** Where nobody may mount: a limit for the size of files, by which a disk is as full for the server. */
const FILE_SIZES: Disk = {
  through: [],
  says: /EFBIG/,
  fill: (pid) => limitFiles(pid, `${9 * MEGABYTE}:unlimited`),
  empty: (pid) => limitFiles(pid, 'unlimited:unlimited'),
}

/** prlimit is of util-linux, as unshare is. */
function limitFiles(pid: number, limit: string): Promise<void> {
  return Promise.resolve(void execFileSync('/usr/bin/env', ['prlimit', '--pid', String(pid), `--fsize=${limit}`]))
}

function disk(): Disk {
  return spawnSync(NAMESPACE[0]!, [...NAMESPACE.slice(1), 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0 ? FILE_SYSTEM : FILE_SIZES
}

it(
  'a disk that fills in the middle of a download: the old version goes on, people see why, and it is brought once there is room',
  {
    timeout: 180_000,
  },
  async (context) => {
    const full = disk()
    context.diagnostic(`as ${full.says}`)
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await adders(plane, 1)
    await push(plane, 'adder', { 'model.onnx': Buffer.from(addingModel(2)), 'beside.bin': Buffer.alloc(24 * MEGABYTE, 7) })
    await deploy(plane)
    const [store, trigger] = [join(folder.path, 'store'), join(folder.path, 'now')]
    await mkdir(store)
    await using server = await serveInChild(
      ['--control-plane', plane.url, '--endpoint', 'adder', '--store', store, '--server-name', 'one'],
      { STORE: store, SLIPWAY_FAIL_POINTS: `store.chunk:pause=10000@${trigger}` },
      full.through,
    )
    assert.equal(await added(server), 1)
    await writeFile(trigger, '')
    await setAlias(plane, 2)
    await until(() => !existsSync(trigger), 'a part of the file has come')
    await full.fill(server.pid, store)
    const told = async (): Promise<string> => JSON.stringify((await plane.ask('GET', '/endpoints/adder')).body.status)
    await until(() => /the local store \S+ cannot take adder\/2: /.test(server.said()), 'the download has run into it', 60_000)
    assert.match(server.said(), full.says)
    await until(
      async () => /local store \S+ (?:has no room for|cannot take) adder\/2/.test(await told()),
      'the control plane is told why',
      60_000,
    )
    assert.equal(await added(server), 1, 'the old version goes on')
    assert.equal((await fetch(`${server.url}/ready`)).status, 200)
    await full.empty(server.pid, store)
    await until(async () => (await added(server)) === 2, 'it is brought once there is room', 60_000)
  },
)
