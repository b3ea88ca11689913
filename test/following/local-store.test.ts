import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CHUNK_BYTES, ContentDigester, treeDigest } from '../../src/core/content-digest.ts'
import { tryLock } from '../../src/core/file-lock.ts'
import { LocalStore } from '../../src/following/local-store.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { VersionManifest } from '../../src/contract/followed-state.ts'
import type { VersionSource, Wanted } from '../../src/following/local-store.ts'

const MB = 1024 * 1024
const OPTIONS = { signal: new AbortController().signal, onProgress: () => {} }

interface Made {
  readonly wanted: Wanted
  readonly manifest: VersionManifest
  readonly contents: Map<string, Buffer>
}

/** A version with these files. */
function versionOf(files: Readonly<Record<string, Buffer>>, number = 1): Made {
  const contents = new Map<string, Buffer>()
  const listed = Object.entries(files).map(([path, bytes]) => {
    const digester = new ContentDigester()
    digester.update(bytes)
    const { id, size, chunks } = digester.finish()
    contents.set(id, bytes)
    return { path, contentId: id, size, chunks: [...chunks] }
  })
  const digest = treeDigest(listed)
  const size = listed.reduce((sum, file) => sum + file.size, 0)
  const versionId = createHash('md5').update(digest).digest('hex')
  return { wanted: { versionId, digest, size, model: 'm', version: number }, manifest: { versionId, digest, files: listed }, contents }
}

/** Gives what it has, and counts what was asked for. */
function sourceOf(...made: readonly Made[]): VersionSource & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    manifest: async (versionId) => made.find(({ manifest }) => manifest.versionId === versionId)!.manifest,
    bytes: async (contentId, { offset, length }) => {
      asked.push(`${contentId.slice(0, 6)}@${offset / CHUNK_BYTES}`)
      const bytes = made.map(({ contents }) => contents.get(contentId)).find((found) => found !== undefined)!
      return bytes.subarray(offset, offset + length)
    },
  }
}

test('a version is fetched chunk by chunk, put in place whole, and once', async () => {
  await using folder = await temporaryFolder()
  const store = await LocalStore.open(folder.path, 100 * MB)
  const made = versionOf({ 'model.onnx': randomBytes(CHUNK_BYTES + 1000), 'labels/a.txt': Buffer.from('a'), empty: Buffer.alloc(0) })
  const source = sourceOf(made)
  const progress: number[] = []
  {
    using held = await store.fetch(made.wanted, source, { ...OPTIONS, onProgress: (percent) => progress.push(percent) })
    for (const { path, contentId } of made.manifest.files)
      assert.ok((await readFile(join(held.folder, path))).equals(made.contents.get(contentId)!), path)
    assert.equal(source.asked.length, 3)
    assert.equal(Math.round(progress.at(-1)!), 100)
    using again = await store.fetch(made.wanted, source, OPTIONS)
    assert.equal(again.folder, held.folder)
    assert.equal(source.asked.length, 3, 'what is here is not asked for')
  }
  // Another process, later.
  using later = await (await LocalStore.open(folder.path, 100 * MB)).hold(made.wanted.digest)
  assert.ok(later !== undefined)
})

test('what was fetched before an end is not fetched again', async () => {
  await using folder = await temporaryFolder()
  const made = versionOf({ big: randomBytes(3 * CHUNK_BYTES), small: Buffer.from('x') })
  const source = sourceOf(made)
  let calls = 0
  const failing: VersionSource = {
    ...source,
    bytes: async (...args) => {
      if (++calls === 3) throw new Error('the line broke')
      return await source.bytes(...args)
    },
  }
  const store = await LocalStore.open(folder.path, 100 * MB)
  await assert.rejects(store.fetch(made.wanted, failing, OPTIONS), /the line broke/)
  assert.equal(await store.hold(made.wanted.digest), undefined, 'what is not whole is not there')
  const partial = join(folder.path, 'partial', made.wanted.digest, 'big')
  // A chunk that was damaged meanwhile is fetched anew.
  const bytes = await readFile(partial)
  bytes[CHUNK_BYTES + 5]! ^= 1
  await writeFile(partial, bytes)
  source.asked.length = 0
  using held = await (await LocalStore.open(folder.path, 100 * MB)).fetch(made.wanted, source, OPTIONS)
  assert.deepEqual(
    source.asked.map((one) => one.split('@')[1]),
    ['1', '2', '0'],
  )
  assert.ok((await readFile(join(held.folder, 'big'))).equals([...made.contents.values()][0]!))
})

test('a source that lies changes nothing: other bytes, another list, a path that leads out', async () => {
  await using folder = await temporaryFolder()
  const store = await LocalStore.open(folder.path, 100 * MB)
  const made = versionOf({ 'model.onnx': randomBytes(1000) })
  const { manifest, wanted } = made
  const honest = sourceOf(made)
  const lie = (
    manifestOf: (manifest: VersionManifest) => VersionManifest,
    bytes: (bytes: Buffer) => Buffer = (all) => all,
  ): VersionSource => ({
    manifest: async () => manifestOf(manifest),
    bytes: async (...args) => bytes(await honest.bytes(...args)),
  })
  const [file] = manifest.files
  const wrong = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => byte ^ 1))
  await assert.rejects(
    store.fetch(
      wanted,
      lie((all) => all, wrong),
      OPTIONS,
    ),
    /chunk 0 of model.onnx has other bytes/,
  )
  await assert.rejects(
    store.fetch(
      wanted,
      lie((all) => ({ ...all, files: [] })),
      OPTIONS,
    ),
    /is not the one of digest/,
  )
  await assert.rejects(
    store.fetch(
      wanted,
      lie((all) => ({ ...all, files: [{ ...file!, chunks: [file!.contentId] }] })),
      OPTIONS,
    ),
    /digests of chunks of model.onnx that are not those/,
  )
  const out = { ...file!, path: '../../out' }
  const escaping = { ...wanted, digest: treeDigest([out]) }
  await assert.rejects(
    store.fetch(
      escaping,
      lie((all) => ({ ...all, files: [out] })),
      OPTIONS,
    ),
    /lies in no folder of a model/,
  )
  assert.deepEqual(await readdir(join(folder.path, 'versions')), [])
  using held = await store.fetch(wanted, honest, OPTIONS)
  assert.ok(held.folder.endsWith(wanted.digest))
})

test('what is used least lately gives way, and nothing that somebody holds', async () => {
  await using folder = await temporaryFolder()
  const store = await LocalStore.open(folder.path, 3 * MB)
  const made = [1, 2, 3, 4].map((number) => versionOf({ file: randomBytes(MB) }, number))
  const source = sourceOf(...made)
  using first = await store.fetch(made[0]!.wanted, source, OPTIONS)
  for (const { wanted } of made.slice(1, 3)) (await store.fetch(wanted, source, OPTIONS))[Symbol.dispose]()
  ;(await store.hold(made[1]!.wanted.digest))![Symbol.dispose]()
  ;(await store.fetch(made[3]!.wanted, source, OPTIONS))[Symbol.dispose]()
  const present = new Set((await readdir(join(folder.path, 'versions'))).filter((name) => !name.endsWith('.json')))
  assert.deepEqual(
    made.map(({ wanted }) => present.has(wanted.digest)),
    [true, true, false, true],
  )
  const large = versionOf({ file: randomBytes(2.5 * MB) })
  await assert.rejects(
    store.fetch(large.wanted, sourceOf(large), OPTIONS),
    /has no room for m\/1: it takes 2\.5 MiB, the versions in use and on their way 1\.0 MiB of 3\.0 MiB/,
  )
  assert.ok((await stat(first.folder)).isDirectory())
})

test('what is on its way has its room, and what was given up makes way before what is whole', async () => {
  await using folder = await temporaryFolder()
  const [kept, slow, next] = [1, 2, 3].map((number) => versionOf({ file: randomBytes(MB) }, number)) as [Made, Made, Made]
  const stores = await Promise.all([LocalStore.open(folder.path, 2 * MB), LocalStore.open(folder.path, 2 * MB)])
  ;(await stores[0].fetch(kept.wanted, sourceOf(kept), OPTIONS))[Symbol.dispose]()
  const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<Buffer>()]
  const stuck: VersionSource = {
    ...sourceOf(slow),
    bytes: () => {
      begun.resolve()
      return ended.promise
    },
  }
  const failing = stores[0].fetch(slow.wanted, stuck, OPTIONS)
  await begun.promise
  // Held, so that only what is on its way could give way.
  using _held = await stores[1].hold(kept.wanted.digest)
  await assert.rejects(stores[1].fetch(next.wanted, sourceOf(next), OPTIONS), /in use and on their way 2\.0 MiB of 2\.0 MiB/)
  ended.reject(new Error('the cable is cut'))
  await assert.rejects(failing, /the cable is cut/)
  using fetched = await stores[1].fetch(next.wanted, sourceOf(next), OPTIONS)
  assert.ok(fetched.folder.endsWith(next.wanted.digest))
  assert.deepEqual(await readdir(join(folder.path, 'partial')), [])
  assert.equal((await readdir(join(folder.path, 'versions'))).length, 6, 'files, list and stamps of each')
})

test('many who want different versions at once stay within the bound together', async () => {
  await using folder = await temporaryFolder()
  const made = Array.from({ length: 12 }, (_, number) => versionOf({ file: randomBytes(MB / 2) }, number + 1))
  const stores = await Promise.all(made.map(() => LocalStore.open(folder.path, 2 * MB)))
  const results = await Promise.allSettled(
    made.map(async (one, index) => (await stores[index]!.fetch(one.wanted, sourceOf(one), OPTIONS))[Symbol.dispose]()),
  )
  for (const result of results) if (result.status === 'rejected') assert.match(String(result.reason), /has no room/)
  let bytes = 0
  for (const entry of await readdir(folder.path, { recursive: true, withFileTypes: true }))
    if (entry.name === 'file') bytes += (await stat(join(entry.parentPath, entry.name))).size
  assert.ok(bytes <= 2 * MB, `${bytes} bytes`)
  assert.deepEqual(await readdir(join(folder.path, 'partial')), [])
})

test('what two versions have in common is fetched once', async () => {
  await using folder = await temporaryFolder()
  const store = await LocalStore.open(folder.path, 100 * MB)
  const weights = randomBytes(MB)
  const [one, two] = [versionOf({ weights, readme: Buffer.from('1') }), versionOf({ weights, readme: Buffer.from('2') })]
  const source = sourceOf(one, two)
  using _first = await store.fetch(one.wanted, source, OPTIONS)
  source.asked.length = 0
  using second = await store.fetch(two.wanted, source, OPTIONS)
  assert.equal(source.asked.length, 1)
  assert.ok((await readFile(join(second.folder, 'weights'))).equals(weights))
})

test('of two who want one version, one fetches it and the other waits for it', async () => {
  await using folder = await temporaryFolder()
  const made = versionOf({ file: randomBytes(MB) })
  const slow = sourceOf(made)
  const source: VersionSource = {
    ...slow,
    bytes: async (...args) => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      return await slow.bytes(...args)
    },
  }
  const stores = await Promise.all([LocalStore.open(folder.path, 100 * MB), LocalStore.open(folder.path, 100 * MB)])
  const held = await Promise.all(stores.map((store) => store.fetch(made.wanted, source, OPTIONS)))
  assert.equal(slow.asked.length, 1)
  for (const one of held) one[Symbol.dispose]()
})

test('a folder that cannot be written is told of with its name, and a lock keeps others out as long as it is held', async () => {
  await using folder = await temporaryFolder()
  await writeFile(join(folder.path, 'file'), '')
  await assert.rejects(LocalStore.open(join(folder.path, 'file', 'store'), MB), { code: 'SLW_STORE_UNAVAILABLE' })
  await mkdir(join(folder.path, 'locks'))
  const path = join(folder.path, 'locks', 'x')
  const [a, b] = [tryLock(path, 'shared'), tryLock(path, 'shared')]
  assert.ok(a !== undefined && b !== undefined)
  assert.equal(tryLock(path, 'exclusive'), undefined)
  a[Symbol.dispose]()
  assert.equal(tryLock(path, 'exclusive'), undefined)
  b[Symbol.dispose]()
  using own = tryLock(path, 'exclusive')
  assert.ok(own !== undefined)
  assert.equal(tryLock(path, 'shared'), undefined)
})

test('bytes that were damaged on the disk are found when the version is held, and fetched again, and those alone', async () => {
  await using folder = await temporaryFolder()
  const made = versionOf({ big: randomBytes(2 * CHUNK_BYTES + 5), small: Buffer.from('labels'), gone: Buffer.from('gone') })
  const source = sourceOf(made)
  const store = await LocalStore.open(folder.path, 100 * MB)
  const place = join(folder.path, 'versions', made.wanted.digest)
  ;(await store.fetch(made.wanted, source, OPTIONS))[Symbol.dispose]()
  const isWhole = async (): Promise<void> => {
    for (const { path, contentId } of made.manifest.files)
      assert.ok((await readFile(join(place, path))).equals(made.contents.get(contentId)!), path)
  }
  const damages: Readonly<Record<string, () => Promise<unknown>>> = {
    'a flipped byte': async () => {
      const bytes = await readFile(join(place, 'big'))
      bytes[CHUNK_BYTES + 1]! ^= 4
      await writeFile(join(place, 'big'), bytes)
    },
    'a flipped byte, and the time put back': async () => {
      const { atime, mtime } = await stat(join(place, 'small'))
      await writeFile(join(place, 'small'), 'lables')
      await utimes(join(place, 'small'), atime, mtime)
    },
    'a file that is gone': () => rm(join(place, 'gone')),
    'a list that was cut off': () => writeFile(`${place}.json`, '{"versionId":"'),
  }
  for (const [what, damage] of Object.entries(damages)) {
    await damage()
    assert.equal(await store.hold(made.wanted.digest), undefined, what)
    source.asked.length = 0
    using held = await store.fetch(made.wanted, source, OPTIONS)
    assert.equal(held.folder, place)
    await isWhole()
    const chunks = what === 'a list that was cut off' ? 0 : what === 'a flipped byte' ? 3 : 1
    assert.equal(source.asked.length, chunks, `${what}: ${source.asked.join()}`)
  }
  // What does not belong to it could change what it does.
  await writeFile(join(place, 'slipway.yaml'), 'kind: Model')
  using held = await store.hold(made.wanted.digest)
  assert.ok(held !== undefined)
  assert.deepEqual((await readdir(place)).toSorted(), ['big', 'gone', 'small'])
})

test('a file is taken over from another version only if it has its bytes', async () => {
  await using folder = await temporaryFolder()
  const shared = randomBytes(1000)
  const [one, two] = [versionOf({ shared, a: Buffer.from('1') }), versionOf({ shared, a: Buffer.from('2') }, 2)]
  const source = sourceOf(one, two)
  const store = await LocalStore.open(folder.path, 100 * MB)
  using _one = await store.fetch(one.wanted, source, OPTIONS)
  await writeFile(join(folder.path, 'versions', one.wanted.digest, 'shared'), randomBytes(1000))
  using held = await store.fetch(two.wanted, source, OPTIONS)
  assert.ok((await readFile(join(held.folder, 'shared'))).equals(shared))
})
