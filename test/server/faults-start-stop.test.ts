import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { ROOT, until } from '../fixtures.ts'
import { askAdding, keepAliveLoad } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Answered } from '../keep-alive-load.ts'

it('SIGTERM under load: of 50 keep-alive clients that ask without a pause none is refused or reset, each is told to close, the exit code is 0', async () => {
  await using folder = await temporaryFolder()
  await folder.write('models/a/model.onnx', addingModel(1))
  await folder.write('models/b/model.onnx', addingModel(2))
  await using server = await serveInChild([join(folder.path, 'models'), '--drain-pause', '1s'])
  const answers: Answered[] = []
  const clients = Array.from({ length: 50 }, async (_, client) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (;;) {
      const answer = await askAdding(agent, server.url, client % 2 === 0 ? 'a' : 'b')
      answers.push(answer)
      // A client that is told to close goes elsewhere.
      if (answer.status !== 200 || answer.connection === 'close') break
    }
    agent.destroy()
  })
  await until(() => answers.length > 1000, 'all of them ask')
  server.signal('SIGTERM')
  // Whoever comes while the balancer has not heard of it yet is answered too.
  const late = (async () => {
    await until(async () => (await fetch(`${server.url}/ready`)).status === 503, 'the signal is heard')
    const agent = new Agent({ keepAlive: true })
    for (let turn = 0; turn < 20; turn++) {
      const answer = await askAdding(agent, server.url, 'a')
      assert.deepEqual([answer.status, answer.connection], [200, 'close'], JSON.stringify(answer))
    }
    agent.destroy()
  })()
  await Promise.all([...clients, late])
  assert.deepEqual(
    answers.filter(({ status, model, added }) => status !== 200 || added !== (model === 'a' ? 1 : 2)),
    [],
  )
  assert.equal(answers.filter(({ connection }) => connection === 'close').length, 50)
  assert.equal(await server.exit, 0, server.said())
})

it('a broken model among ten good ones, whatever is wrong with it, does not keep the ten from being served', async () => {
  await using folder = await temporaryFolder()
  for (let index = 0; index < 10; index++) await folder.write(`models/m${index}/1/model.onnx`, addingModel(index))
  await folder.write('models/garbage/1/model.onnx', 'garbage')
  await folder.write('models/half/1/model.onnx', addingModel(1).subarray(0, 100))
  await folder.write('models/misdeclared/slipway.yaml', 'serving: { instances: none }\n')
  await folder.write('models/misdeclared/model.onnx', addingModel(1))
  await folder.write('models/empty/1/slipway.yaml', '')
  await using server = await serveInChild([join(folder.path, 'models'), '--instances', '1'])
  const names = Array.from({ length: 10 }, (_, index) => `m${index}`)
  await using load = keepAliveLoad(server.url, names)
  await until(() => load.answers.length > 300, 'they are asked')
  const answers = await load.stop()
  assert.deepEqual(
    answers.filter(({ status, model, added }) => status !== 200 || `m${added}` !== model),
    [],
  )
  assert.equal(new Set(answers.map(({ model }) => model)).size, 10)
  const { models } = (await (await fetch(`${server.url}/health`)).json()) as {
    models: { name: string; loaded: boolean; reason?: string }[]
  }
  const down = models.filter((model) => !model.loaded)
  assert.deepEqual(down.map(({ name }) => name).toSorted(), ['empty', 'garbage', 'half', 'misdeclared'])
  for (const { name, reason } of down) assert.ok((reason ?? '').length > 20, `${name}: ${reason}`)
  assert.equal((await fetch(`${server.url}/ready`)).status, 200)
})

/** All files below a folder, with sizes and times of change. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const { size, mtimeMs } = statSync(path)
      return `${path} ${size} ${mtimeMs}`
    })
    .toSorted()
}

/** Regular files that a process has open for writing: the flags of /proc/PID/fdinfo (proc(5)), octal, end in 1 or 2. */
function openForWriting(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
      const flags = /^flags:\s+0*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0'
      return /[12]$/.test(flags) && target.startsWith('/') && !target.startsWith('/dev/') ? [target] : []
    } catch {
      // Closed meanwhile.
      return []
    }
  })
}

interface Confinement {
  readonly what: string
  readonly through: readonly string[]
}

const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
/** In a mount namespace of its own every file system that is one is made read-only; the words that follow are then begun. */
const READ_ONLY = [
  'unshare',
  '-m',
  'sh',
  '-c',
  'while read -r _ at kind _; do case $kind in proc|sysfs|devtmpfs|devpts|cgroup*|mqueue) ;; *) mount -o remount,bind,ro "$at" 2>/dev/null;; esac; done </proc/self/mounts; exec "$0" "$@"',
]

/** The strongest confinement that this machine allows; a user other than root is confined by what is not theirs. */
function confine(unwritable: string): Confinement {
  const works = (words: readonly string[]): boolean => {
    const [command = '', ...args] = words
    return spawnSync(command, args).status === 0
  }
  const cannotWrite = ['sh', '-c', `! touch ${unwritable}/x 2>/dev/null && test -r ${ROOT}bin/slipway && test -x ${process.execPath}`]
  const kinds: readonly Confinement[] = [
    { what: 'a read-only root and user 65534', through: [...READ_ONLY, ...NOBODY] },
    { what: 'a read-only root (the sources are readable by root alone)', through: READ_ONLY },
    { what: 'user 65534', through: NOBODY },
    { what: 'this user, without a folder to write to', through: ['env'] },
  ]
  const found = kinds.find(({ through }) => works([...through, ...cannotWrite]))
  if (found === undefined)
    throw new Error('nothing here can keep a process from writing: neither unshare, setpriv, nor the rights of this user')
  return found
}

it('a read-only root and a user without rights or home are enough: nothing is written, by instances in threads and in processes', async (t) => {
  await using folder = await temporaryFolder()
  await folder.write('models/a/model.onnx', addingModel(1))
  await folder.write('models/b/model.onnx', addingModel(2))
  await folder.write('models/b/slipway.yaml', 'serving: { isolation: process, instances: 1 }\n')
  const unwritable = join(folder.path, 'tmp')
  await mkdir(unwritable)
  for (const path of [folder.path, join(folder.path, 'models'), unwritable]) await chmod(path, 0o555)
  const { what, through } = confine(unwritable)
  t.diagnostic(what)
  const before = listing(folder.path)
  try {
    await using server = await serveInChild([join(folder.path, 'models')], { HOME: '/nonexistent', TMPDIR: unwritable }, through)
    await using load = keepAliveLoad(server.url, ['a', 'b'])
    await until(() => load.answers.length > 200, 'they are asked')
    assert.ok((await load.stop()).every(({ status, model, added }) => status === 200 && added === (model === 'a' ? 1 : 2)))
    if (through.includes('setpriv')) assert.match(readFileSync(`/proc/${server.pid}/status`, 'utf8'), /^Uid:\s+65534\s/m)
    assert.deepEqual(openForWriting(server.pid), [])
    server.signal('SIGTERM')
    assert.equal(await server.exit, 0, server.said())
    assert.doesNotMatch(server.said(), /EACCES|EROFS|EPERM|denied|read-only/i)
  } finally {
    chmodSync(folder.path, 0o755)
  }
  assert.deepEqual(listing(folder.path), before)
})

it('the paths that a server writes are those that the guide lists', async () => {
  await using folder = await temporaryFolder()
  await folder.write('models/a/model.onnx', addingModel(1))
  await folder.write('models/b/model.onnx', addingModel(2))
  await folder.write('models/b/slipway.yaml', 'serving: { isolation: process, instances: 1 }\n')
  for (const name of ['home', 'tmp']) await mkdir(join(folder.path, name))
  // Tests may run with a place of their own for compiled code.
  const places = {
    HOME: join(folder.path, 'home'),
    TMPDIR: join(folder.path, 'tmp'),
    NODE_COMPILE_CACHE: undefined,
    XDG_CACHE_HOME: undefined,
  }
  const serveAndList = async (environment: Record<string, string>): Promise<string[]> => {
    const files = ['--log-file', join(folder.path, 'log/slipway.log'), '--socket', join(folder.path, 'slipway.sock')]
    await using server = await serveInChild(
      [join(folder.path, 'models'), ...files, '--drain-pause', '0ms'],
      { ...places, ...environment },
      ['env', '-C', folder.path],
    )
    await using load = keepAliveLoad(server.url, ['a', 'b'])
    await until(() => load.answers.length > 100, 'they are asked')
    assert.ok((await load.stop()).every(({ status }) => status === 200))
    const written = listing(folder.path)
      .map((line) => line.slice(folder.path.length + 1).split(' ')[0]!)
      .filter((path) => !path.startsWith('models/'))
    server.signal('SIGTERM')
    assert.equal(await server.exit, 0)
    return written
  }
  const listed = ['log/slipway.log', 'slipway.sock']
  const loadedOnce = /^home\/\.cache\/slipway\/loaded\/[0-9a-f]{64}$/
  const bare = await serveAndList({ NODE_DISABLE_COMPILE_CACHE: '1' })
  assert.deepEqual(
    bare.filter((path) => !loadedOnce.test(path)),
    listed,
  )
  assert.equal(bare.filter((path) => loadedOnce.test(path)).length, 1, 'the model in a process of its own needs no trial')
  const written = await serveAndList({})
  assert.deepEqual(
    written.filter((path) => !path.startsWith('tmp/node-compile-cache/') && !loadedOnce.test(path)),
    listed,
  )
  assert.ok(written.length > listed.length, 'compiled code is kept')
  const guide = readFileSync(join(ROOT, 'docs/guides/serving.md'), 'utf8')
  for (const path of ['node-compile-cache', 'slipway/loaded', '--log-file', '--socket'])
    assert.ok(guide.slice(guide.indexOf('## What it writes')).includes(path), path)
})
