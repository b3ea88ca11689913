import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { REGISTRY_STEPS } from '../../src/core/fail-point.ts'
import { collect } from '../../src/files/collect.ts'
import { openFileStore } from '../../src/storage/objects/file-store.ts'
import { openSqlite } from '../../src/storage/sql/sqlite.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'
import type { ChildControlPlane } from './up-in-child.ts'

type Step = (typeof REGISTRY_STEPS)[number]

/** Those that a client's call reaches; what else there is, is killed in tests of its own. */
const OF_CALLS = REGISTRY_STEPS.filter((step) => !/^(collect|trash|restore|import)\./.test(step))

interface Story {
  readonly run: string
  readonly uploaded: boolean
  readonly joined: boolean
  readonly registered: boolean
  readonly aliased: boolean
}

/** Sends a file in parts, of which one attempt is given up. @returns whether it is said to be there */
async function sendParts(plane: ChildControlPlane, run: string): Promise<boolean> {
  const ask = async (what: string, fields: object): Promise<Response> =>
    await fetch(`${plane.url}/api/2.0/mlflow-artifacts/mpu/${what}/0/${run}/artifacts`, { method: 'POST', body: JSON.stringify(fields) })
  const begin = async (path: string): Promise<{ upload_id: string; credentials: { url: string }[] }> =>
    (await (await ask('create', { path, num_parts: 1 })).json()) as never
  const { upload_id: given } = await begin('never.bin')
  await ask('abort', { path: 'never.bin', upload_id: given })
  const { upload_id: id, credentials } = await begin('parts.bin')
  const etag = (await fetch(credentials[0]!.url, { method: 'PUT', body: 'from parts' })).headers.get('etag')
  return (await ask('complete', { path: 'parts.bin', upload_id: id, parts: [{ part_number: 1, etag }] })).status === 200
}

/** Uploads files, registers them, names the version; each answered call is a promise that must hold. */
async function tell(plane: ChildControlPlane, run: string): Promise<Story> {
  const done = { run, uploaded: false, joined: false, registered: false, aliased: false }
  try {
    done.uploaded = (await plane.putFile(`0/${run}/artifacts/model/model.onnx`, 'the weights')) === 200
    done.joined = await sendParts(plane, run)
    const source = `runs:/${run}/model`
    done.registered = (await plane.call('POST', 'model-versions/create', { name: 'm', source, run_id: run })).status === 200
    done.aliased = (await plane.call('POST', 'registered-models/alias', { name: 'm', alias: 'champion', version: '2' })).status === 200
  } catch {
    // It was killed.
  }
  return done
}

async function requireWhole(plane: ChildControlPlane, story: Story): Promise<void> {
  const file = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${story.run}/artifacts/model/model.onnx`)
  const text = await file.text()
  if (file.status === 200) assert.equal(text, 'the weights')
  else assert.equal(story.uploaded, false, 'an upload that was answered is lost')
  const joined = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/0/${story.run}/artifacts/parts.bin`)
  if (joined.status === 200) assert.equal(await joined.text(), 'from parts')
  else assert.equal(story.joined, false, 'an upload in parts that was answered is lost')
  const version = await plane.call('GET', 'model-versions/get', { name: 'm', version: '2' })
  if (version.status === 200) {
    const { body } = await plane.call('GET', 'model-versions/get-download-uri', { name: 'm', version: '2' })
    const copy = await fetch(
      `${plane.url}/api/2.0/mlflow-artifacts/artifacts/${String(body['artifact_uri']).slice('mlflow-artifacts:/'.length)}/model.onnx`,
    )
    assert.equal(await copy.text(), 'the weights')
  } else assert.equal(story.registered, false, 'a version that was answered is lost')
  const alias = await plane.call('GET', 'registered-models/alias', { name: 'm', alias: 'champion' })
  if (alias.status !== 200 || alias.body['model_version'].version !== '2')
    assert.equal(story.aliased, false, 'an alias that was answered is lost')
  // What comes next gets the next number, and events have no gap.
  const next = await plane.call('POST', 'model-versions/create', { name: 'm', source: 's3://elsewhere/x' })
  assert.equal(next.body['model_version'].version, version.status === 200 ? '3' : '2')
}

/** Every file can be read, and no object is left that no file has. */
async function requireClean(data: string): Promise<void> {
  await using database = await openSqlite({ file: join(data, 'slipway.db') })
  await using objects = await openFileStore(join(data, 'objects'))
  await collect({ database, objects, clock: systemClock, graceMs: -60_000 })
  const sequences = await database.read.selectFrom('events').select('sequence').orderBy('sequence').execute()
  assert.deepEqual(
    sequences.map(({ sequence }) => sequence),
    sequences.map((_, index) => index + 1),
  )
  const known = await database.read.selectFrom('contents').select('object_key').execute()
  const keys: string[] = []
  // An upload that was killed is forgotten when its row expires, which is a day; its object goes then.
  const uploads = new Set((await database.read.selectFrom('uploads').select('object_key').execute()).map((row) => row.object_key))
  for (const { object_key: key } of known) uploads.delete(key)
  for await (const { key } of objects.list('')) if (!uploads.has(key)) keys.push(key)
  assert.deepEqual(keys.toSorted(), known.map((row) => row.object_key).toSorted())
}

describe('a control plane that is killed', { concurrency: 2 }, () => {
  for (const step of OF_CALLS)
    it(`at ${step}: what it had answered is there, nothing is half there`, async () => {
      await using folder = await temporaryFolder()
      const [data, trigger] = [join(folder.path, 'data'), join(folder.path, 'now')]
      await mkdir(data)
      const args = ['--data', data, '--no-server']
      let story: Story
      {
        await using plane = await upInChild(args, { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` })
        await plane.call('POST', 'registered-models/create', { name: 'm' })
        await plane.call('POST', 'model-versions/create', { name: 'm', source: 's3://elsewhere/x' })
        await plane.call('POST', 'registered-models/alias', { name: 'm', alias: 'champion', version: '1' })
        const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
        await writeFile(trigger, '')
        story = await tell(plane, body['run'].info.run_id as string)
        assert.equal(await plane.exit, 'SIGKILL', `${step} was not reached`)
      }
      {
        await using plane = await upInChild(args)
        await requireWhole(plane, story)
        plane.signal('SIGTERM')
        assert.equal(await plane.exit, 0)
      }
      await requireClean(data)
    })

  for (const step of ['collect.marked', 'collect.dropped', 'collect.deleted'] satisfies Step[])
    it(`at ${step}: collection goes on where it stopped`, async () => {
      await using folder = await temporaryFolder()
      const [data, trigger] = [join(folder.path, 'data'), join(folder.path, 'now')]
      await mkdir(data)
      const args = ['--data', data, '--no-server']
      {
        await using plane = await upInChild(args)
        const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
        const place = `0/${String(body['run'].info.run_id)}/artifacts/a.txt`
        for (const text of ['one', 'two', 'three']) assert.equal(await plane.putFile(place, text), 200)
      }
      await expire(data)
      await writeFile(trigger, '')
      // It may be killed before it says that it is up.
      const killed = upInChild(args, { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` }).then((plane) => plane.exit)
      assert.match(String(await killed.catch(String)), /SIGKILL/)
      await requireClean(data)
    })
})

/** As if an hour had passed. */
async function expire(data: string): Promise<void> {
  await using database = await openSqlite({ file: join(data, 'slipway.db') })
  await database.write(async (write) => {
    const old = Date.now() - 2 * 3600_000
    await write.updateTable('leases').set({ expires_at: old }).execute()
    // Whoever starts next keeps up at once.
    await write.deleteFrom('work_items').execute()
    await write
      .updateTable('contents')
      .set({ unreferenced_since: old })
      .where((columns) =>
        columns.not(columns.exists(columns.selectFrom('files').select('path').whereRef('files.content_id', '=', 'contents.id'))),
      )
      .execute()
  })
}
