import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openFileStore } from '../../src/storage/objects/file-store.ts'
import { openS3Store } from '../../src/storage/objects/s3-store.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { objectStoreContract } from './object-store-contract.ts'
import { startMoto, startS3Server } from './s3-server.ts'
import { allOf, listOf, MB, someBytes, streamOf } from './streams.ts'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Place } from './object-store-contract.ts'
import type { S3Server } from './s3-server.ts'

/** More than the blocks and pieces that a store holds, less than anybody's model. */
const GROWTH_MB_MAX = 64

const MEASURED = new URL('./object-store-memory.ts', import.meta.url)
const KILLED = new URL('./object-store-killed.ts', import.meta.url)

/** What the program says is read by whoever starts it. */
function startProgram(program: URL, args: readonly string[], flags: readonly string[] = []): ChildProcessByStdio<null, Readable, null> {
  return spawn(process.execPath, [...flags, fileURLToPath(program), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Puts and gets 500 MB in a child process. @returns MB that its resident memory grew by */
async function growth(url: string): Promise<number> {
  const measuring = startProgram(MEASURED, [url], ['--expose-gc'])
  const said = allOf(measuring.stdout)
  const [code] = (await once(measuring, 'close')) as [number]
  assert.equal(code, 0)
  return Number((await said).toString())
}

describe('a folder', () => {
  objectStoreContract(async (): Promise<Place> => {
    const folder = await temporaryFolder()
    return { open: () => openFileStore(join(folder.path, 'store')), [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
  })

  test('holds 500 MB in bounded memory', async () => {
    await using folder = await temporaryFolder()
    const grown = await growth(folder.path)
    assert.ok(grown <= GROWTH_MB_MAX, `${grown} MB`)
  })

  test('a key that begins with another key is another object', async () => {
    await using folder = await temporaryFolder()
    await using store = await openFileStore(folder.path)
    await store.put('a', streamOf(Buffer.from('one')))
    await store.put('a/b', streamOf(Buffer.from('two')))
    assert.equal((await allOf(await store.get('a'))).toString(), 'one')
    assert.equal((await allOf(await store.get('a/b'))).toString(), 'two')
  })

  test('a process that is killed in the middle of a put leaves no object, and what it leaves is removed after an hour', async () => {
    await using folder = await temporaryFolder()
    const putting = startProgram(KILLED, [folder.path, 'stall'])
    const ended = once(putting, 'close')
    await once(putting.stdout, 'data')
    const temporary = join(folder.path, 'temporary')
    let left = ''
    await until(async () => {
      ;[left = ''] = await readdir(temporary)
      return left !== '' && (await stat(join(temporary, left))).size > 0
    }, 'a part of the object is on the disk')
    putting.kill('SIGKILL')
    await ended
    assert.equal(putting.signalCode, 'SIGKILL')
    {
      await using store = await openFileStore(folder.path)
      assert.equal(await store.head('half'), undefined)
      assert.deepEqual(await listOf(store.list('')), [])
      assert.deepEqual(await readdir(temporary), [left], 'it may belong to a process that lives')
    }
    const longAgo = new Date(Date.now() - 61 * 60_000)
    await utimes(join(temporary, left), longAgo, longAgo)
    await using store = await openFileStore(folder.path)
    assert.deepEqual(await readdir(temporary), [])
    await store.put('half', streamOf(Buffer.from('whole')))
  })

  test('whenever a process is killed, what it acknowledged is there and all that is there is whole', async () => {
    await using folder = await temporaryFolder()
    const acknowledged: string[] = []
    for (let round = 0; round < 12; round++) {
      const working = startProgram(KILLED, [folder.path, `round-${round}`])
      const ended = once(working, 'close')
      const before = acknowledged.length
      let said = ''
      working.stdout.on('data', (line: Buffer) => (said += line.toString()))
      working.stdout.once('data', () => setTimeout(() => working.kill('SIGKILL'), 10 + 7 * round))
      await ended
      assert.equal(working.signalCode, 'SIGKILL')
      acknowledged.push(...said.split('\n').slice(0, -1))
      assert.ok(acknowledged.length > before)
    }
    await using store = await openFileStore(folder.path)
    const found = await listOf(store.list(''))
    const there = new Set(found.map(({ key }) => key))
    for (const key of acknowledged) assert.ok(there.has(key), `${key} was acknowledged`)
    const most = someBytes(4 * MB)
    for (const { key } of found) assert.ok((await allOf(await store.get(key))).equals(most.subarray(0, Number(key.split('/')[2]))), key)
    for await (const { key, uploadId } of store.unfinishedParts(Date.now() + 1000)) await store.abortParts(key, uploadId)
    assert.deepEqual(await readdir(join(folder.path, 'uploads')), [])
  })

  test('a folder that cannot be one says which', async () => {
    await using folder = await temporaryFolder()
    const path = await folder.write('file', 'no folder')
    await assert.rejects(openFileStore(path), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'SLW_STORE_UNAVAILABLE')
      assert.ok(error.message.includes(path))
      return true
    })
  })
})

describe('a bucket of a real S3 server', () => {
  let server: S3Server
  let places = 0
  before(async () => {
    server = await startS3Server()
  })
  after(() => server[Symbol.asyncDispose]())

  objectStoreContract(async (): Promise<Place> => {
    const { endpoint, bucket } = server
    const prefix = `place-${places++}/`
    return { open: () => openS3Store({ bucket, endpoint, prefix }), [Symbol.asyncDispose]: async () => {} }
  })

  test('holds 500 MB in bounded memory', async () => {
    const grown = await growth(`s3://${server.bucket}/memory?endpoint=${server.endpoint}`)
    assert.ok(grown <= GROWTH_MB_MAX, `${grown} MB`)
  })

  test('what lies beside the prefix, or has no name of ours, is not ours', async () => {
    const { endpoint, bucket } = server
    await using theirs = await openS3Store({ bucket, endpoint, prefix: 'beside-other' })
    await using around = await openS3Store({ bucket, endpoint, prefix: 'beside' })
    await using own = await openS3Store({ bucket, endpoint, prefix: 'beside/own.objects' })
    await theirs.put('x', streamOf(Buffer.from('x')))
    await own.put('y', streamOf(Buffer.from('y')))
    await around.put('z', streamOf(Buffer.from('z')))
    assert.deepEqual(
      (await listOf(around.list(''))).map(({ key }) => key),
      ['z'],
    )
    assert.deepEqual(
      (await listOf(own.list(''))).map(({ key }) => key),
      ['y'],
    )
  })

  test('a bucket that is not there is named', async () => {
    await using store = await openS3Store({ bucket: 'absent', endpoint: server.endpoint })
    await assert.rejects(store.put('x', streamOf(Buffer.from('x'))), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'SLW_STORE_UNAVAILABLE')
      assert.match(error.message, /s3:\/\/absent\/x.*NoSuchBucket/)
      return true
    })
  })
})

describe('a bucket of a second S3 server', () => {
  let server: S3Server
  let places = 0
  before(async () => {
    server = await startMoto()
  })
  after(() => server[Symbol.asyncDispose]())

  objectStoreContract(
    async (): Promise<Place> => {
      const { endpoint, bucket } = server
      const prefix = `place-${places++}`
      return { open: () => openS3Store({ bucket, endpoint, prefix }), [Symbol.asyncDispose]: async () => {} }
    },
    {
      'an upload that was aborted is gone, and aborting it again is no error': 'moto 5.2 answers 500 to a part of an upload that is gone',
      'an upload belongs to its key': 'moto 5.2 does not compare the key',
      'unfinished are the uploads that were begun before then': 'moto 5.2 says of every upload that it was begun in 2010',
      'a signed request that was changed is refused': 'moto checks no signatures',
    },
  )
})
