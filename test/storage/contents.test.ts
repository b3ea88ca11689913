import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { systemClock } from '../../src/core/clock.ts'
import { Contents } from '../../src/files/contents.ts'
import { collect } from '../../src/files/collect.ts'
import { openFileStore } from '../../src/storage/objects/file-store.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { eachDatabase } from './databases.ts'
import type { ObjectStore } from '../../src/storage/objects/object-store.ts'
import type { Database } from '../../src/storage/sql/database.ts'

interface Scene extends AsyncDisposable {
  readonly objects: ObjectStore
  put(path: string, bytes: Uint8Array): Promise<string>
  drop(path: string): Promise<void>
  /** Without grace: everything that nothing refers to goes. */
  collect(): Promise<{ contents: number; objects: number; orphans: number }>
  keys(): Promise<string[]>
  readonly contents: Contents
}

async function scene(database: Database): Promise<Scene> {
  const folder = await temporaryFolder()
  const objects = await openFileStore(join(folder.path, 'objects'))
  const clock = systemClock
  const newId = (): string => randomUUID().replaceAll('-', '')
  const contents = new Contents({ database, objects, clock, newId })
  return {
    objects,
    contents,
    put: (path, bytes) =>
      contents.receive(pieces(bytes), async (write, content) => {
        const file = { content_id: content.id, size: content.size, modified_at: 0 }
        await write
          .insertInto('files')
          .values({ root: 'run:r', path, ...file })
          .onConflict((conflict) => conflict.columns(['root', 'path']).doUpdateSet(file))
          .execute()
        return content.id
      }),
    drop: (path) =>
      database.write(async (write) => {
        await write.deleteFrom('files').where('path', '=', path).execute()
      }),
    collect: () => collect({ database, objects, clock, graceMs: -10_000 }),
    async keys() {
      const keys: string[] = []
      for await (const { key } of objects.list('')) keys.push(key)
      return keys
    },
    async [Symbol.asyncDispose]() {
      await objects[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += 100_000) yield bytes.subarray(from, from + 100_000)
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream))
}

eachDatabase('a file is what was sent, whole and in parts', async (database) => {
  await using scenery = await scene(database)
  const bytes = randomBytes(9 * 1024 * 1024)
  const id = await scenery.put('a', bytes)
  assert.ok((await read(await scenery.contents.open(id))).equals(bytes))
  const range = { offset: 8 * 1024 * 1024 - 10, length: 20 }
  assert.ok((await read(await scenery.contents.open(id, range))).equals(bytes.subarray(range.offset, range.offset + 20)))
  const empty = await scenery.put('empty', new Uint8Array())
  assert.equal((await read(await scenery.contents.open(empty))).length, 0)
  await assert.rejects(scenery.contents.open('none'), { code: 'SLW_NOT_FOUND' })
})

eachDatabase('a stream that breaks off leaves neither file nor object', async (database) => {
  await using scenery = await scene(database)
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield randomBytes(1000)
    throw new Error('the client went away')
  }
  await assert.rejects(
    scenery.contents.receive(broken(), () => Promise.reject(new Error('not reached'))),
    /went away/,
  )
  const short = scenery.contents.receive(pieces(randomBytes(10)), () => Promise.reject(new Error('not reached')), { size: 11 })
  await assert.rejects(short, { code: 'SLW_INPUT_INVALID' })
  assert.deepEqual(await scenery.keys(), [])
  assert.deepEqual(await database.read.selectFrom('uploads').selectAll().execute(), [])
})

eachDatabase('the same content twice is one content, and its second object is collected', async (database) => {
  await using scenery = await scene(database)
  const bytes = randomBytes(1000)
  const [a, b] = await Promise.all([scenery.put('a', bytes), scenery.put('b', bytes)])
  assert.equal(a, b)
  assert.equal((await scenery.keys()).length, 2)
  assert.deepEqual(await scenery.collect(), { contents: 0, objects: 1, orphans: 0 })
  assert.equal((await scenery.keys()).length, 1)
  await scenery.drop('a')
  assert.equal((await scenery.collect()).contents, 0, 'another file has it still')
  assert.ok((await read(await scenery.contents.open(a))).equals(bytes))
  await scenery.drop('b')
  await scenery.collect()
  assert.deepEqual([await scenery.keys(), await database.read.selectFrom('contents').select('id').execute()], [[], []])
})

eachDatabase('an object that nobody knows is an orphan, one of a running upload is not', async (database) => {
  await using scenery = await scene(database)
  await scenery.objects.put('leftbehind', pieces(randomBytes(10)))
  const halfway = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const slow = async function* (): AsyncGenerator<Uint8Array> {
    yield randomBytes(10)
    halfway.resolve()
    await go.promise
    yield randomBytes(10)
  }
  const uploading = scenery.contents.receive(slow(), async (write, content) => {
    await write.insertInto('files').values({ root: 'run:r', path: 'x', content_id: content.id, size: 20, modified_at: 0 }).execute()
    return content.id
  })
  await halfway.promise
  assert.equal((await scenery.collect()).orphans, 1)
  go.resolve()
  assert.equal((await read(await scenery.contents.open(await uploading))).length, 20)
  assert.equal((await scenery.collect()).orphans, 0)
})

eachDatabase('whatever is put, copied and dropped while collection goes on, what is referred to can be read', async (database) => {
  await using scenery = await scene(database)
  const action = fc.record({
    kind: fc.constantFrom('put', 'drop', 'collect', 'copy'),
    path: fc.integer({ min: 0, max: 4 }),
    content: fc.integer({ min: 0, max: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 25 }), async (actions) => {
      const running = actions.map(async ({ kind, path, content }, index) => {
        if (kind === 'put') await scenery.put(`p${path}`, Buffer.alloc(100, content))
        else if (kind === 'drop') await scenery.drop(`p${path}`)
        else if (kind === 'collect') await scenery.collect()
        else await copy(database, `p${path}`, `copy${index % 3}`)
      })
      await Promise.all(running)
      await scenery.collect()
      const files = await database.read.selectFrom('files').select(['path', 'content_id']).execute()
      for (const { content_id: id } of files) assert.equal((await read(await scenery.contents.open(id))).length, 100)
      assert.equal((await scenery.keys()).length, new Set(files.map((file) => file.content_id)).size, 'an object is left that no file has')
    }),
    { numRuns: 12 },
  )
})

/** As a registered version does: it refers to a content without sending it. */
async function copy(database: Database, from: string, to: string): Promise<void> {
  await database.write(async (write) => {
    const row = await write.selectFrom('files').select(['content_id', 'size']).where('path', '=', from).executeTakeFirst()
    if (row === undefined) return
    await write
      .insertInto('files')
      .values({ root: 'version:v', path: to, ...row, modified_at: 0 })
      .onConflict((conflict) => conflict.columns(['root', 'path']).doUpdateSet(row))
      .execute()
  })
}
