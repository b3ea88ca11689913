import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { slipway } from './slipway.ts'

it(
  'a version whose files lie on a bucket is copied into the registry as the next one, which servers can take',
  { timeout: 120_000 },
  async () => {
    await using s3 = await startS3Server()
    await using plane = await planeInProcess()
    const put = async (key: string, bytes: string | Uint8Array): Promise<void> => {
      const file = join(s3.folder, key)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, bytes)
    }
    await put('trained/model/model.onnx', addingModel(3))
    await put('trained/model/slipway.yaml', 'description: of the bucket\n')
    await put('trained/model/more/é and #.txt', 'text')
    await put('trained/model-of-another/model.onnx', 'not this one')
    await put('alone/adder.onnx', addingModel(4))
    await plane.ask('POST', '/models', { name: 'm' })
    const register = async (source: string): Promise<any> =>
      (
        await plane.ask('POST', '/models/m/versions', {
          source,
          description: 'trained there',
          tags: { team: 'growth' },
          metrics: { auc: 0.9 },
        })
      ).body
    const far = await register('s3://objects/trained/model')
    assert.deepEqual([far.version, far.servable], [1, 'no'])
    assert.match(far.servableReason, /slipway model fetch copies in what lies on s3:/)
    const there = ['--url', plane.url, '--s3-endpoint', s3.endpoint]
    const listed = await slipway(['model', 'fetch', 'm/1', ...there, '--dry-run'])
    assert.match(listed.stdout, /^fetch {2}model\.onnx {2}.*B$/m)
    assert.match(listed.stdout, /^register 3 files, .*B, as a version of m$/m)
    assert.equal((await plane.ask('GET', '/models/m/versions/2')).status, 404)
    const fetched = await slipway(['model', 'fetch', 'm/1', ...there, '--alias', 'champion'])
    assert.equal(fetched.code, 0, fetched.stderr)
    assert.match(fetched.stderr, /fetched more\/é and #\.txt \(4 B\)/)
    const { body: version } = await plane.ask('GET', '/models/m/versions/2')
    assert.deepEqual(
      [version.servable, version.aliases, version.tags, version.provenance.parentVersion, version.description, version.metrics],
      ['yes', ['champion'], { team: 'growth' }, 'm/1', 'trained there', { auc: 0.9 }],
    )
    const files = ((await plane.ask('GET', '/models/m/versions/2/files')).body.items as { path: string }[]).map(({ path }) => path)
    assert.deepEqual(files.toSorted(), ['model.onnx', 'more/é and #.txt', 'slipway.yaml'])
    // A source may be the file itself.
    await register('s3://objects/alone/adder.onnx')
    assert.equal((await slipway(['model', 'fetch', 'm/3', ...there])).code, 0)
    assert.equal((await plane.ask('GET', '/models/m/versions/4')).body.servable, 'yes')
    for (const [source, message] of [
      ['s3://objects/nowhere', /nothing lies at s3:\/\/objects\/nowhere/],
      ['gs://bucket/model', /lie at gs:\/\/bucket\/model, and this command reads s3:\/\/ only/],
    ] as const) {
      const { version: number } = await register(source)
      const { code, stderr } = await slipway(['model', 'fetch', `m/${number}`, ...there])
      assert.notEqual(code, 0)
      assert.match(stderr, message)
    }
    const near = await slipway(['model', 'fetch', 'm/2', ...there])
    assert.equal(near.code, 2)
    assert.match(near.stderr, /lie in the registry already/)
  },
)
