import assert from 'node:assert/strict'
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

/**
 * The store of the server is a file system of its own in memory, which another program fills in the middle of a download. The server alone
 * sees it (a namespace of its own); this test reaches it by `/proc`.
 */
it(
  'a disk that fills in the middle of a download: the old version goes on, people see why, and it is brought once there is room',
  {
    timeout: 180_000,
  },
  async () => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await adders(plane, 1)
    const weights = Buffer.alloc(24 * MEGABYTE, 7)
    await push(plane, 'adder', { 'model.onnx': Buffer.from(addingModel(2)), 'beside.bin': weights })
    await deploy(plane)
    const [store, trigger] = [join(folder.path, 'store'), join(folder.path, 'now')]
    await mkdir(store)
    const through = ['unshare', '--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"', store]
    await using server = await serveInChild(
      ['--control-plane', plane.url, '--endpoint', 'adder', '--store', store, '--server-name', 'one'],
      { SLIPWAY_FAIL_POINTS: `store.chunk:pause=3000@${trigger}` },
      through,
    )
    assert.equal(await added(server), 1)
    const inside = join(`/proc/${server.pid}/root`, store)
    await writeFile(trigger, '')
    await setAlias(plane, 2)
    // The first part has come when the step has taken its trigger.
    await until(() => !existsSync(trigger), 'a part of the file has come')
    const { bavail, bsize } = await statfs(inside)
    const filler = join(inside, 'of-another-program')
    await writeFile(filler, Buffer.alloc(bavail * bsize - MEGABYTE))
    const told = async (): Promise<string> => JSON.stringify((await plane.ask('GET', '/endpoints/adder')).body.status)
    await until(() => /the local store \S+ cannot take adder\/2: ENOSPC: no space left/.test(server.said()), 'the download has run into it')
    await until(
      async () => /the disk of the local store \S+ has no room for adder\/2: 24 MiB are to come/.test(await told()),
      'the control plane is told why',
      60_000,
    )
    assert.equal(await added(server), 1, 'the old version goes on')
    assert.equal((await fetch(`${server.url}/ready`)).status, 200)
    await rm(filler)
    await until(async () => (await added(server)) === 2, 'it is brought once there is room', 60_000)
  },
)
