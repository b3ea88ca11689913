import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { packTar } from 'modern-tar'
import { isSlipwayError } from '../../src/core/errors.ts'
import { unpackedArchive } from '../../src/model/archive.ts'
import { findPackages } from '../../src/model/layout.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { added } from '../server/served.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

type Entries = Parameters<typeof packTar>[0]
type Entry = Entries[number]

const file = (name: string, body: string | Uint8Array = 'x'): Entry => {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  return { header: { name, size: bytes.length, type: 'file' }, data: new Uint8Array(bytes) }
}
const special = (name: string, type: 'symlink' | 'link' | 'character-device' | 'fifo', linkname = ''): Entry => ({
  header: { name, size: 0, type, linkname },
})

async function tarOf(...entries: Entries[number][]): Promise<Uint8Array> {
  return await packTar(entries)
}

const refused =
  (code: ErrorCode, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }

describe('an archive', () => {
  let folder: TemporaryFolder
  let root: string
  const userCache = process.env['XDG_CACHE_HOME']
  before(async () => {
    folder = await temporaryFolder()
    root = join(folder.path, 'cache')
    process.env['XDG_CACHE_HOME'] = join(folder.path, 'user-cache')
  })
  after(async () => {
    if (userCache === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = userCache
    await folder[Symbol.asyncDispose]()
  })

  it('of tar, packed or not, is unpacked once, whole, whoever asks at a time', async () => {
    await folder.write('made/model.onnx', 'a model')
    await folder.write('made/code/inference.py', 'pass')
    await folder.write(`made/${'long/'.repeat(8)}${'n'.repeat(120)}.txt`, 'deep')
    for (const [name, flags] of [
      ['a.tar.gz', '-czf'],
      ['b.tar', '-cf'],
    ] as const) {
      const path = join(folder.path, name)
      execFileSync('tar', [flags, path, '-C', join(folder.path, 'made'), '.'])
      const [one, two] = await Promise.all([unpackedArchive(path, root), unpackedArchive(path, root)])
      assert.equal(one, two)
      assert.equal(await readFile(join(one, 'model.onnx'), 'utf8'), 'a model')
      assert.equal(await readFile(join(one, `${'long/'.repeat(8)}${'n'.repeat(120)}.txt`), 'utf8'), 'deep')
      await writeFile(join(one, 'mark'), '')
      assert.equal(await unpackedArchive(path, root), one)
      assert.ok((await readdir(one)).includes('mark'), 'it was not unpacked again')
    }
    assert.equal((await stat(root)).mode & 0o777, 0o700, 'nobody else reads what is in it')
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.endsWith('.partial')),
      [],
    )
  })

  it('that leads out of its folder, or has links, devices, or too much in it, is refused, and leaves nothing', async () => {
    await folder.write('outside', 'untouched')
    const cases: [name: string, entries: Entry[], message: RegExp][] = [
      ['parent', [file('../outside')], /"\.\.\/outside" leads out of the archive/],
      ['inner', [file('a/../../outside')], /leads out of the archive/],
      ['absolute', [file('/tmp/outside')], /leads out of the archive/],
      ['backslash', [file('a\\b')], /leads out of the archive/],
      ['symlink', [special('a', 'symlink', '/etc'), file('a/passwd')], /"a" is a symlink; only files and folders are unpacked/],
      ['link', [special('a', 'link', '../outside')], /"a" is a link/],
      ['device', [special('a', 'character-device')], /"a" is a character-device/],
      ['fifo', [special('a', 'fifo')], /"a" is a fifo/],
      ['twice', [file('a'), file('./a')], /"\.\/a" is in it twice/],
      ['under a file', [file('a'), file('a/b')], /"a\/b" is in it twice, or is a file and a folder/],
      ['a file and a folder', [file('a'), { header: { name: 'a/', size: 0, type: 'directory' } }], /"a\/" is in it twice, or is a file/],
      ['far below a file', [file('a'), file('a/b/c')], /"a\/b\/c" is below what is a file in it/],
      ['long', [file('n'.repeat(300))], /has a name that is too long for this file system/],
      ['deep', [file(`${'a/'.repeat(17)}b`)], /leads out of the archive/],
      ['many', Array.from({ length: 21 }, (_, index) => file(`f${index}`)), /more than 20 entries/],
      ['large', [file('a', 'x'.repeat(600)), file('b', 'x'.repeat(600))], /unpacks to more than/],
    ]
    for (const [name, entries, message] of cases) {
      const path = await folder.write(`${name}.tar.gz`, gzipSync(await tarOf(...entries)))
      await assert.rejects(
        unpackedArchive(path, join(folder.path, 'refused'), { entries: 20, bytes: 1000 }),
        refused('SLW_MODEL_UNSAFE', message),
        name,
      )
    }
    assert.equal(await readFile(join(folder.path, 'outside'), 'utf8'), 'untouched')
    const left = await readdir(join(folder.path, 'refused'))
    assert.deepEqual(
      left.filter((name) => !name.includes('.lock')),
      [],
    )
  })

  it('that is cut off, damaged, or none at all, is refused with the reason', async () => {
    const whole = await tarOf(file('model.onnx', 'x'.repeat(5000)))
    const packed = gzipSync(whole)
    const damaged = whole.slice()
    damaged[2] = 0x7a
    for (const [name, bytes] of [
      ['cut.tar', whole.subarray(0, 3000)],
      ['cut.tar.gz', packed.subarray(0, packed.length - 20)],
      ['damaged.tar', damaged],
      ['text.tar.gz', Buffer.from('no archive at all'.repeat(100))],
    ] as const) {
      const path = await folder.write(name, bytes)
      await assert.rejects(unpackedArchive(path, root), refused('SLW_MODEL_INVALID', /is no archive that can be read/), name)
    }
    const zeros = await folder.write('zeros.tar.gz', gzipSync(Buffer.alloc(40_000_000)))
    await assert.rejects(unpackedArchive(zeros, root, { entries: 1, bytes: 1000 }), refused('SLW_MODEL_UNSAFE', /unpacks to more than/))
    const empty = await folder.write('empty.tar.gz', gzipSync(await tarOf()))
    await assert.rejects(findPackages({ path: empty }), refused('SLW_MODEL_INVALID', /empty\.tar\.gz: no model here; the folder is empty/))
  })

  it('that nobody has served for long gives its room back', async () => {
    const own = join(folder.path, 'old')
    const stale = join(own, 'a'.repeat(64))
    const dead = join(own, `${'b'.repeat(64)}.0-0.partial`)
    const fresh = join(own, 'c'.repeat(64))
    for (const path of [stale, dead, fresh]) await mkdir(path, { recursive: true })
    const long = new Date(Date.now() - 40 * 24 * 60 * 60 * 1000)
    for (const path of [stale, dead]) await utimes(path, long, long)
    const unpacked = await unpackedArchive(await folder.write('new.tar', await tarOf(file('a'))), own)
    const left = (await readdir(own)).filter((name) => !name.includes('.lock')).map((name) => join(own, name))
    assert.deepEqual(left.toSorted(), [fresh, unpacked].toSorted())
  })

  it('is served as the folder that it is of: a model of SageMaker, of MLflow, a repository of Triton', async () => {
    const mlmodel =
      'flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.23.2\n  python_function:\n    loader_module: mlflow.onnx\n'
    const write = async (name: string, ...entries: Entry[]): Promise<string> => folder.write(name, gzipSync(await tarOf(...entries)))
    const paths = [
      await write('sage/model.tar.gz', file('./model.onnx', addingModel(1)), file('./code/inference.py')),
      await write('flow.tgz', file('MLmodel', mlmodel), file('model.onnx', addingModel(2)), file('conda.yaml')),
      await write(
        'triton.tar.gz',
        file('adder/config.pbtxt', 'max_batch_size: 8\nversion_policy { all { } }'),
        file('adder/1/model.onnx', addingModel(3)),
        file('adder/2/model.onnx', addingModel(4)),
      ),
    ]
    await using server = await startServer({ models: paths.map((path) => ({ path })), port: 0, serving: { instances: 1 } })
    assert.deepEqual(
      [await added(server, 'model'), await added(server, 'flow'), await added(server, 'adder', '1'), await added(server, 'adder')],
      [1, 2, 3, 4],
    )
    await write('sage/model.tar.gz', file('model.onnx', addingModel(5)))
    await server.repository.rescan(true)
    assert.equal(await added(server, 'model'), 5)
  })

  it('lies in a folder of its own beside others in the cache', async () => {
    const path = await folder.write('again.tar', await tarOf(file('a', 'one')))
    const before = await unpackedArchive(path, root)
    await rm(path)
    await folder.write('again.tar', await tarOf(file('a', 'two')))
    const now = await unpackedArchive(path, root)
    assert.notEqual(now, before)
    assert.deepEqual([await readFile(join(before, 'a'), 'utf8'), await readFile(join(now, 'a'), 'utf8')], ['one', 'two'])
  })
})
