/** What `slipway image inspect` says, beside what other people's tools say of the same images. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { isSlipwayError } from '../../src/core/errors.ts'
import { findImage } from '../../src/images/inspect/find-image.ts'
import { imageReport } from '../../src/images/inspect/inspect.ts'
import { INSPECT_LIMITS } from '../../src/images/inspect/limits.ts'
import { readImage } from '../../src/images/inspect/read-image.ts'
import { createLayoutFolder } from '../../src/images/layout/folder.ts'
import { END_OF_TAR, padding, tarHeader } from '../../src/images/tar/header.ts'
import { debianBinary } from '../../scripts/debian-package.ts'
import { dive } from '../../scripts/image-tools.ts'
import { slipway } from '../cli/slipway.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { makeImage, tarOf } from './make-image.ts'
import type { ImageReport } from '../../src/images/inspect/inspect.ts'
import type { InspectLimits } from '../../src/images/inspect/limits.ts'
import type { LayoutFolder } from '../../src/images/layout/folder.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'
import type { LayerEntry } from './make-image.ts'

const run = promisify(execFile)
const text = (size: number, letter: string): string => letter.repeat(size)

const LAYERS: readonly (readonly LayerEntry[])[] = [
  [
    { path: 'etc/', type: 'directory' },
    { path: 'etc/motd', text: text(3000, 'a') },
    { path: 'lib/one.so', text: text(50_000, 'b') },
    { path: 'lib/two.so', text: text(20_000, 'c') },
    { path: 'bin/su', text: text(10, 'd'), mode: 0o4755 },
    { path: 'tmp/', type: 'directory', mode: 0o1777 },
    { path: 'var/open/', type: 'directory', mode: 0o777 },
  ],
  [
    { path: 'etc/motd', text: text(1000, 'e') },
    { path: 'lib/.wh.two.so' },
    { path: 'opt/copy.so', text: text(50_000, 'b') },
    { path: 'opt/hard.so', type: 'link', target: 'opt/copy.so' },
  ],
  [
    { path: 'etc/motd', text: text(2000, 'f') },
    { path: 'opt/model.onnx', text: text(9000, 'g') },
  ],
]

const CONFIG = {
  Env: ['PATH=/bin', 'DB_PASSWORD=hunter2', 'TOKEN_FILE=/run/secrets/token'],
  Entrypoint: ['/bin/node', 'serve'],
  Labels: { team: 'churn' },
}
const HISTORY = [
  { created_by: 'base' },
  { created_by: 'ENV X=1', empty_layer: true },
  { created_by: 'COPY lib' },
  { created_by: 'COPY model' },
]

describe('looking into an image', () => {
  let folder: TemporaryFolder
  let layout: LayoutFolder
  const at = (name: string): string => join(folder.path, name)
  const inspect = async (...args: string[]): Promise<ImageReport> => {
    const { code, stdout, stderr } = await slipway(['image', 'inspect', '--json', ...args])
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as ImageReport
  }
  before(async () => {
    folder = await temporaryFolder()
    layout = await createLayoutFolder(at('layout'))
    await makeImage(layout, 'v1', { layers: LAYERS.slice(0, 2), config: CONFIG })
    await makeImage(layout, 'latest', { layers: LAYERS, config: CONFIG, history: HISTORY })
  })
  after(() => folder[Symbol.asyncDispose]())

  it('layers, their sizes and what made them are those that umoci says', async () => {
    const report = await inspect(`${at('layout')}:latest`)
    const { stdout } = await run(await debianBinary('umoci'), ['stat', '--json', '--image', `${at('layout')}:latest`])
    const { history } = JSON.parse(stdout) as { history: { layer: { digest: string; size: number } | null; created_by: string }[] }
    assert.deepEqual(
      report.layers.map(({ digest, compressedBytes: size, createdBy }) => ({ digest, size, createdBy })),
      history.flatMap(({ layer, created_by: createdBy }) =>
        layer === null ? [] : [{ digest: layer.digest, size: layer.size, createdBy }],
      ),
    )
    assert.deepEqual(
      report.layers.map(({ unpackedBytes }) => unpackedBytes),
      LAYERS.map((layer) => tarOf(layer).length),
    )
  })

  it('the efficiency and what layers repeat are those of dive', { timeout: 100_000 }, async () => {
    await run(await debianBinary('skopeo'), [
      'copy',
      '--quiet',
      `oci:${at('layout')}:latest`,
      `docker-archive:${at('saved.tar')}:churn:latest`,
    ])
    await run(await dive(), ['--source', 'docker-archive', '--json', at('dive.json'), at('saved.tar')], { cwd: folder.path })
    const { image } = JSON.parse(await readFile(at('dive.json'), 'utf8')) as {
      image: { efficiencyScore: number; fileReference: { count: number; sizeBytes: number; file: string }[] }
    }
    const report = await inspect(at('saved.tar'))
    assert.ok(Math.abs(report.efficiency - image.efficiencyScore) < 1e-9, `${report.efficiency}, of dive ${image.efficiencyScore}`)
    assert.ok(report.efficiency < 0.9)
    // dive counts the last of the copies, too, which is no waste.
    const theirs = image.fileReference.map(({ file }) => file.replace(/^\//, '')).toSorted()
    assert.deepEqual(report.wasted.items.map(({ path }) => path).toSorted(), theirs)
    assert.deepEqual(report.wasted.items, [
      { path: 'lib/two.so', bytes: 20_000, copies: 1 },
      { path: 'etc/motd', bytes: 4000, copies: 2 },
    ])
    assert.equal(report.wastedBytes, 24_000)
    assert.deepEqual(
      report.layers.map(({ wastedBytes }) => wastedBytes),
      [23_000, 1000, 0],
    )
  })

  it('the same bytes in two files are told, and hard links are one file', async () => {
    const { duplicates } = await inspect(`${at('layout')}:latest`)
    assert.deepEqual(
      duplicates.items.map(({ paths, sparedBytes }) => ({ paths, sparedBytes })),
      [{ paths: ['lib/one.so', 'opt/copy.so'], sparedBytes: 50_000 }],
    )
  })

  it('beside the image before it: layers that are shared, bytes of a pull, and files that differ', async () => {
    const report = await inspect(`${at('layout')}:latest`, '--compare', `${at('layout')}:v1`)
    const { comparison, layers, compressedBytes } = report
    assert.ok(comparison !== undefined)
    assert.equal(comparison.sharedLayers, 2)
    assert.equal(comparison.pullBytes + comparison.sharedBytes, compressedBytes)
    assert.equal(comparison.sharedBytes, layers[0]!.compressedBytes + layers[1]!.compressedBytes)
    assert.deepEqual(comparison.added.items, [{ path: 'opt/model.onnx', bytes: 9000, what: [] }])
    assert.deepEqual(comparison.changed.items, [{ path: 'etc/motd', bytes: 2000, what: ['content'] }])
    assert.equal(comparison.removed.count, 0)
    const back = await inspect(`${at('layout')}:v1`, '--compare', `${at('layout')}:latest`)
    assert.deepEqual(back.comparison?.removed.items, [{ path: 'opt/model.onnx', bytes: 9000, what: [] }])
  })

  it('it warns of root, of secrets, of rights that files give, and of the tag latest', async () => {
    const report = await inspect(`${at('layout')}:latest`)
    const { warnings } = report
    // A report is kept in the logs of CI.
    assert.doesNotMatch(JSON.stringify(report), /hunter2/)
    assert.deepEqual(
      warnings.map(({ code, paths }) => [code, ...(paths ?? [])]),
      [['root-user'], ['secret-in-environment'], ['setuid', 'bin/su'], ['world-writable', 'var/open/'], ['latest-tag']],
    )
    assert.match(warnings[1]!.message, /DB_PASSWORD/)
  })

  it('on a terminal it is a table with a bar for each layer', async () => {
    const { stdout, code } = await slipway(['image', 'inspect', `${at('layout')}:latest`, '--compare', `${at('layout')}:v1`])
    assert.equal(code, 0)
    assert.match(stdout, /^efficiency +81\.5 %, 23 KiB wasted$/m)
    assert.match(stdout, /^ *1 {2}█{24} +\d+ B +77 KiB +22 KiB {2}base$/m)
    assert.match(stdout, /2 of 3 layers are there already/)
    assert.match(stdout, /\+ .*opt\/model\.onnx/)
    assert.doesNotMatch(stdout, /hunter2/)
  })

  it('an image for another platform, and a name that nothing has, are refused with what there is', async () => {
    const other = await slipway(['image', 'inspect', `${at('layout')}:v1`, '--platform', 'linux/arm64'])
    assert.equal(other.code, 4, other.stderr)
    assert.match(other.stderr, /is an image for linux\/amd64, not linux\/arm64/)
    const missing = await slipway(['image', 'inspect', `${at('layout')}:v9`])
    assert.equal(missing.code, 4)
    assert.match(missing.stderr, /v1, latest/)
    const nothing = await slipway(['image', 'inspect', './nothing.tar'])
    assert.deepEqual([nothing.code, /no such folder or archive of an image/.test(nothing.stderr)], [4, true])
  })
})

describe('an image that is made to do harm', () => {
  const attempt = async (layers: readonly (readonly LayerEntry[] | Buffer)[], limits: Partial<InspectLimits> = {}): Promise<string> => {
    await using folder = await temporaryFolder()
    const layout = await createLayoutFolder(join(folder.path, 'layout'))
    const root = await makeImage(layout, 'x', { layers })
    try {
      imageReport(await readImage(layout, await findImage(layout, root), { limits: { ...INSPECT_LIMITS, ...limits } }))
    } catch (error) {
      assert.ok(isSlipwayError(error), String(error))
      return `${error.code}: ${error.message}`
    }
    return 'read'
  }
  const header = (change: (block: Buffer) => void, entry: LayerEntry = { path: 'x', text: 'abc' }): Buffer => {
    const block = tarHeader({ type: 'file', mtime: 0, size: 3, ...entry })
    change(block)
    block.fill(' ', 148, 156)
    block.write(
      `${block
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    )
    return Buffer.concat([block, Buffer.from('abc'), padding(3), END_OF_TAR])
  }

  it('paths that lead out, links to nothing, and files below files are refused by name', async () => {
    const place = /^SLW_STORE_CORRUPT: layer 1 \(sha256:[0-9a-f]{64}\): /
    for (const [entries, why] of [
      [[{ path: '../../etc/passwd', text: 'x' }], /"\.\.\/\.\.\/etc\/passwd" leads out of the image/],
      [[{ path: 'a', type: 'link', target: '../../etc/shadow' }], /leads out of the image/],
      [[{ path: 'a', type: 'link', target: 'b' }], /is a hard link to "b", which is not there/],
      [
        [
          { path: 'a', text: 'x' },
          { path: 'a/b', text: 'y' },
        ],
        /"a\/b" is below what is no folder/,
      ],
      [
        [
          { path: 'a', type: 'symlink', target: 'a' },
          { path: 'a/b', text: 'y' },
        ],
        /goes through more than 40 symbolic links/,
      ],
    ] satisfies [LayerEntry[], RegExp][]) {
      const found = await attempt([entries])
      assert.match(found, place)
      assert.match(found, why)
    }
  })

  it('archives that are broken are refused with what is wrong', async () => {
    assert.match(await attempt([header((block) => block.write('9', 120))]), /a number in a header is none|has another checksum|bytes/)
    assert.match(await attempt([Buffer.concat([header(() => {}).subarray(0, 512 + 1)])]), /it ends early/)
    assert.match(await attempt([header((block) => block.write('S', 156))]), /sparse file, which is not read/)
    assert.match(await attempt([header((block) => block.write('Z', 156))]), /unknown kind "Z"/)
    assert.match(await attempt([Buffer.from('x'.repeat(512))]), /has another checksum/)
    const pax = tarHeader({ path: 'p', type: 'file', mtime: 0, size: 9 })
    assert.match(await attempt([header((block) => block.write('x', 156), { path: 'p' })]), /header of pax cannot be read/)
    assert.equal(await attempt([Buffer.concat([pax, Buffer.alloc(512), END_OF_TAR])]), 'read')
  })

  it('bombs end at their limits', async () => {
    const zeros = tarOf([{ path: 'zeros', text: Buffer.alloc(4 * 1024 ** 2) }])
    assert.match(await attempt([zeros], { unpackedBytes: 1024 ** 2 }), /^SLW_LIMIT_EXCEEDED: layer 1 .*unpack to more than 1\.0 MiB/)
    const many = Array.from({ length: 50 }, (_, index): LayerEntry => ({ path: `f${index}`, text: '' }))
    assert.match(await attempt([many], { entries: 40 }), /^SLW_LIMIT_EXCEEDED: .*more than 40 files, folders and links/)
    assert.match(await attempt([[{ path: 'd/'.repeat(100), type: 'directory' }]], { entries: 40 }), /more than 40/)
    assert.match(await attempt([[{ path: 'n'.repeat(5000), text: '' }]]), /^SLW_LIMIT_EXCEEDED: .*a path of 5000 bytes/)
    assert.match(await attempt([many, many], { layers: 1 }), /the image has 2 layers; 1 are read/)
  })

  it('a layer of other bytes than the configuration says is refused', async () => {
    await using folder = await temporaryFolder()
    const layout = await createLayoutFolder(join(folder.path, 'layout'))
    const root = await makeImage(layout, 'x', { layers: [[{ path: 'a', text: 'a' }]] })
    const image = await findImage(layout, root)
    const wrong = { ...image, config: { ...image.config, rootfs: { type: 'layers' as const, diff_ids: [root.digest] } } }
    await assert.rejects(readImage(layout, wrong), /it unpacks to sha256:.*, and the configuration says sha256:/)
    const broken = gzipSync(tarOf([{ path: 'a', text: 'a' }])).subarray(0, 60)
    const source = {
      ...layout,
      open: async function* () {
        yield await Promise.resolve(broken)
      },
    }
    await assert.rejects(readImage(source, image), (error) => isSlipwayError(error) && error.code === 'SLW_STORE_CORRUPT')
  })
})
