import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { isSlipwayError } from '../../src/core/errors.ts'
import { copyImage } from '../../src/images/copy.ts'
import { createLayoutFolder, openLayoutFolder } from '../../src/images/layout/folder.ts'
import { openLayout } from '../../src/images/layout/layout.ts'
import { createLayoutTarball } from '../../src/images/layout/write-tarball.ts'
import { digestOf, MEDIA_TYPES } from '../../src/images/oci.ts'
import { END_OF_TAR, padding, tarHeader } from '../../src/images/tar/header.ts'
import { debianBinary } from '../../scripts/debian-package.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { BlobSink, Descriptor, ImageConfig, Index } from '../../src/images/oci.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const run = promisify(execFile)
const refused =
  (code: ErrorCode, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes)
}

async function blob(sink: BlobSink, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await sink.write(descriptor, () => once(bytes))
  return descriptor
}

/** An image of one file, for one platform. */
async function image(sink: BlobSink, architecture: string, tag?: string): Promise<Descriptor> {
  const text = Buffer.from(`for ${architecture}`)
  const tar = Buffer.concat([
    tarHeader({ path: 'hello.txt', type: 'file', size: text.length, mtime: 0 }),
    text,
    padding(text.length),
    END_OF_TAR,
  ])
  const layer = await blob(sink, gzipSync(tar), MEDIA_TYPES.layerGzip)
  const settings: ImageConfig = { architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar)] } }
  const config = await blob(sink, Buffer.from(JSON.stringify(settings)), MEDIA_TYPES.config)
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: [layer] }))
  const descriptor = {
    mediaType: MEDIA_TYPES.manifest,
    digest: digestOf(bytes),
    size: bytes.length,
    platform: { os: 'linux', architecture },
  }
  await sink.writeManifest(descriptor, bytes, tag)
  return descriptor
}

async function multiArch(sink: BlobSink, tag: string): Promise<Descriptor> {
  const index: Index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: [await image(sink, 'amd64'), await image(sink, 'arm64')],
  }
  const bytes = Buffer.from(JSON.stringify(index))
  const descriptor = { mediaType: MEDIA_TYPES.index, digest: digestOf(bytes), size: bytes.length }
  await sink.writeManifest(descriptor, bytes, tag)
  return descriptor
}

describe('images in a folder and in a tarball', () => {
  let folder: TemporaryFolder
  let skopeo: string
  const at = (name: string): string => join(folder.path, name)

  before(async () => {
    folder = await temporaryFolder()
    skopeo = await debianBinary('skopeo')
    const layout = await createLayoutFolder(at('layout'))
    await image(layout, 'amd64', 'one')
    await multiArch(layout, 'both')
  })
  after(() => folder[Symbol.asyncDispose]())

  const said = async (...args: readonly string[]): Promise<string> => (await run(skopeo, [...args])).stdout

  it('skopeo reads the folder, and each image by its name', async () => {
    const read = JSON.parse(await said('inspect', `oci:${at('layout')}:one`)) as { Architecture: string; Layers: string[] }
    assert.equal(read.Architecture, 'amd64')
    assert.equal(read.Layers.length, 1)
    const layout = await openLayoutFolder(at('layout'))
    const { manifests } = await layout.index()
    assert.equal(manifests.length, 2, 'the manifests of an index are found in it alone')
    assert.equal((await layout.resolve('both')).mediaType, MEDIA_TYPES.index)
    await assert.rejects(layout.resolve('two'), refused('SLW_NOT_FOUND', /no image two.*one, both/))
    await assert.rejects(layout.resolve(), refused('SLW_USAGE', /several images/))
  })

  it('a copy has the same bytes, in a tarball as in a folder, and the tarball is the same each time', async () => {
    const from = await openLayoutFolder(at('layout'))
    const root = await from.resolve('both')
    for (const name of ['first.tar', 'second.tar']) {
      await using sink = await createLayoutTarball(at(name), { names: ['both:1'] })
      await copyImage(from, sink, root, { tag: 'both' })
      await sink.finish()
    }
    assert.ok((await readFile(at('first.tar'))).equals(await readFile(at('second.tar'))))
    await using tarball = await openLayout(at('first.tar'))
    const again = await createLayoutFolder(at('again'))
    await copyImage(tarball, again, await tarball.resolve(), { tag: 'both' })
    assert.equal((await again.resolve('both')).digest, root.digest)
    assert.deepEqual((await readdir(at('again/blobs/sha256'))).length, 7)
    assert.equal(JSON.parse(await said('inspect', `oci-archive:${at('first.tar')}:both`)).Os, 'linux')
    assert.match(await said('inspect', `docker-archive:${at('first.tar')}`), /amd64/, 'what docker load reads')
  })

  it('what docker save writes is read as an image, whose layers keep the digests of their bytes', async () => {
    const saved = at('saved.tar')
    await said('copy', '--quiet', `oci:${at('layout')}:one`, `docker-archive:${saved}:hello:one`)
    await using tarball = await openLayout(saved)
    const root = await tarball.resolve('one')
    const sink = await createLayoutFolder(at('from-saved'))
    await copyImage(tarball, sink, root, { tag: 'one' })
    const read = JSON.parse(await said('inspect', '--config', `oci:${at('from-saved')}:one`)) as ImageConfig
    const before = JSON.parse(await said('inspect', '--config', `oci:${at('layout')}:one`)) as ImageConfig
    assert.deepEqual(read.rootfs, before.rootfs)
  })

  it('bytes that are not those of a digest are refused at their end', async () => {
    const sink = await createLayoutFolder(at('damaged'))
    const root = await image(sink, 'amd64', 'one')
    const path = join(at('damaged'), 'blobs/sha256', root.digest.slice(7))
    await writeFile(path, (await readFile(path, 'utf8')).replace('"size"', '"sizE"'))
    await assert.rejects(sink.readJson(root), refused('SLW_STORE_CORRUPT', new RegExp(`${root.digest} .* came as sha256:`)))
    await assert.rejects(
      sink.write({ ...root, digest: digestOf(Buffer.from('x')) }, () => once(Buffer.from('y'))),
      refused('SLW_STORE_CORRUPT', /came as/),
    )
    assert.deepEqual(
      (await readdir(join(at('damaged'), 'blobs/sha256'))).filter((name) => name.endsWith('.partial')),
      [],
    )
  })

  it('what is no image is refused by what is missing', async () => {
    await assert.rejects(openLayout(at('nothing')), refused('SLW_PATH_NOT_FOUND', /no such file or folder/))
    await assert.rejects(openLayout(folder.path), refused('SLW_STORE_CORRUPT', /no OCI layout: it has no oci-layout/))
    await assert.rejects(createLayoutFolder(folder.path), refused('SLW_ALREADY_EXISTS', /no OCI layout/))
    await writeFile(at('note.tar'), 'not an archive, but long enough to have a header'.repeat(20))
    await assert.rejects(openLayout(at('note.tar')), refused('SLW_STORE_CORRUPT', /checksum/))
    await writeFile(at('packed.tar'), gzipSync('x'))
    await assert.rejects(openLayout(at('packed.tar')), refused('SLW_STORE_CORRUPT', /gunzip/))
    const tar = Buffer.concat([tarHeader({ path: 'a', type: 'file', size: 0, mtime: 0 }), END_OF_TAR])
    await writeFile(at('other.tar'), tar)
    await assert.rejects(openLayout(at('other.tar')), refused('SLW_STORE_CORRUPT', /holds no image/))
    await writeFile(at('short.tar'), tarHeader({ path: 'a', type: 'file', size: 9000, mtime: 0 }))
    await assert.rejects(openLayout(at('short.tar')), refused('SLW_STORE_CORRUPT', /ends early/))
  })
})
