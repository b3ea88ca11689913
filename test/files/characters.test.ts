/** Folders and names are told apart by characters, whatever a language or an emoji takes of them. */
import assert from 'node:assert/strict'
import { filesBelow, listFolder } from '../../src/files/file-trees.ts'
import { addFile, ANNA, eachRegistry } from '../models/in-registry.ts'

eachRegistry('a folder with an emoji in its name has the files that were put there', async (registry, database) => {
  const run = await registry.runs.create(ANNA, { experimentId: '0' })
  const root = `run:${run.id}` as const
  for (const path of ['💡model/MLmodel', '💡model/💡/a.bin', '💡model2/b.bin', 'ä/c', 'x/d']) await addFile(database, root, path)
  assert.deepEqual(
    (await listFolder(database.read, root, '💡model')).map(({ name }) => name),
    ['MLmodel', '💡'],
  )
  assert.deepEqual(
    (await filesBelow(database.read, root, '💡model')).map(({ path }) => path),
    ['💡model/MLmodel', '💡model/💡/a.bin'],
  )
  await registry.models.create(ANNA, { name: 'm' })
  const { number, digest } = await registry.versions.create(ANNA, 'm', { source: `runs:/${run.id}/💡model` })
  assert.notEqual(digest, undefined)
  const version = await registry.versions.get(ANNA, 'm', String(number))
  assert.equal((await filesBelow(database.read, `version:${version.id}`)).length, 2)
})

eachRegistry('a text that is too long is cut between characters', async (registry) => {
  const run = await registry.runs.create(ANNA, { experimentId: '0' })
  await registry.runData.log(ANNA, run.id, { params: [{ key: 'p', value: '💡'.repeat(6001) }] })
  const { params } = await registry.runs.get(ANNA, run.id)
  assert.equal(params[0]?.value, '💡'.repeat(6000))
})
