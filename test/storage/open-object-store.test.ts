import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { openObjectStore } from '../../src/storage/objects/open.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { allOf, streamOf } from './streams.ts'

test('a path, file:PATH and file://PATH are the same folder', async () => {
  await using folder = await temporaryFolder()
  const path = join(folder.path, 'some objects')
  const urls = [path, `file:${path}`, pathToFileURL(path).href]
  for (const [index, url] of urls.entries()) {
    await using store = await openObjectStore(url)
    assert.equal(store.kind, 'file')
    await store.put(`from-${index}`, streamOf(Buffer.from(url)))
  }
  await using store = await openObjectStore(path)
  for (const [index, url] of urls.entries()) assert.equal((await allOf(await store.get(`from-${index}`))).toString(), url)
  assert.deepEqual(await readdir(folder.path), ['some objects'])
})

test('s3://BUCKET/PREFIX signs for its endpoint, region and style', async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'id'
  process.env['AWS_SECRET_ACCESS_KEY'] = 'secret'
  const signed = async (url: string): Promise<string> => {
    await using store = await openObjectStore(url)
    assert.equal(store.kind, 's3')
    return (await store.presignGet?.('a/b', 60))?.url ?? ''
  }
  const own = await signed('s3://models/store/one/?endpoint=http://127.0.0.1:9000&region=here-1')
  assert.match(own, /^http:\/\/127\.0\.0\.1:9000\/models\/store\/one\/a\/b\?.*%2Fhere-1%2Fs3%2F.*X-Amz-Expires=60/)
  assert.match(
    await signed('s3://models?endpoint=http://s3.example:9000&forcePathStyle=false'),
    /^http:\/\/models\.s3\.example:9000\/a\/b\?/,
  )
  assert.match(await signed('s3://models?region=eu-central-1'), /^https:\/\/models\.s3\.eu-central-1\.amazonaws\.com\/a\/b\?/)
})

test('anything else is refused with what was expected', async () => {
  for (const [url, message] of [
    ['', /no folder is named/],
    ['file:', /no folder is named/],
    ['file://elsewhere/objects', /names no folder of this machine/],
    ['gs://models', /"gs:" is no kind of store/],
    ['http://127.0.0.1:9000/models', /"http:" is no kind of store/],
    ['s3://', /bucket/],
    ['s3://No_Bucket', /"No_Bucket" is no name of a bucket/],
    ['s3://models/a b', /prefix/],
    ['s3://models?endpont=http://x', /"endpont" is no parameter of s3:\/\/; known are endpoint, region, forcePathStyle/],
    ['s3://models?endpoint=127.0.0.1:9000', /endpoint is no http/],
    ['s3://models?forcePathStyle=yes', /forcePathStyle is "yes"/],
  ] as const)
    await assert.rejects(openObjectStore(url), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'SLW_CONFIG_INVALID', `${url}: ${error.message}`)
      assert.match(error.message, message)
      assert.match(error.message, /expected a folder .* or s3:\/\//)
      return true
    })
})

test('credentials in the URL are refused and not repeated', async () => {
  await assert.rejects(openObjectStore('s3://key:very-secret@models'), (error: { code: string; message: string }) => {
    assert.equal(error.code, 'SLW_CONFIG_INVALID')
    assert.doesNotMatch(error.message, /very-secret/)
    return true
  })
})

test('a folder needs no client of S3, and a bucket without it says how to install it', async () => {
  await using folder = await temporaryFolder()
  const without = await folder.write(
    'without.mjs',
    `import { registerHooks } from 'node:module'
     registerHooks({ resolve(name, context, next) {
       if (name.startsWith('@aws-sdk/')) throw Object.assign(new Error('Cannot find package ' + name), { code: 'ERR_MODULE_NOT_FOUND' })
       return next(name, context)
     } })`,
  )
  const asking = `
    const { openObjectStore } = await import(${JSON.stringify(new URL('../../src/storage/objects/open.ts', import.meta.url).href)})
    await (await openObjectStore(${JSON.stringify(join(folder.path, 'objects'))}))[Symbol.asyncDispose]()
    await openObjectStore('s3://models?region=x').catch((error) => console.log(error.code, error.message))`
  const child = spawn(process.execPath, ['--import', pathToFileURL(without).href, '--input-type=module', '--eval', asking], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const said = allOf(child.stdout)
  await once(child, 'close')
  assert.match((await said).toString(), /^SLW_DEPENDENCY_MISSING .*npm install @aws-sdk\/client-s3 @aws-sdk\/s3-request-presigner/)
})
