import assert from 'node:assert/strict'
import { it } from 'node:test'
import { checkLayers, ROOMS } from '../../scripts/layers.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('what a room may not import, Node in a browser, a room that is not in the table, and circles of types are found', async () => {
  await using folder = await temporaryFolder()
  await folder.write('core/clock.ts', "import type { Api } from '../api/api.ts'\nexport type Clock = Api\n")
  await folder.write('contract/deep/down.ts', "import { readFile } from 'node:fs/promises'\nimport { Clock } from '../../core/clock.ts'\n")
  await folder.write('api/api.ts', "import type { Clock } from '../core/clock.ts'\nexport type Api = Clock\n")
  await folder.write('cli/main.ts', "/** Commands. */\nconst later = () => import('../api/api.ts')\n")
  await folder.write('cellar/wine.ts', "import '../core/clock.ts'\n")
  const wrong = checkLayers(folder.path).filter((line) => !line.includes('its door'))
  const expected = [
    /^src\/core\/clock\.ts imports src\/api\/api\.ts: core may not import api/,
    /^src\/contract\/deep\/down\.ts imports node:fs\/promises: contract runs in a browser/,
    /^src\/cellar\/wine\.ts: the room "cellar" is not in/,
    /^a circle of imports: .*core\/clock\.ts/,
  ]
  assert.equal(wrong.length, expected.length, wrong.join('\n'))
  for (const pattern of expected)
    assert.ok(
      wrong.some((line) => pattern.test(line)),
      `${pattern} in ${wrong.join('\n')}`,
    )
})

it('a table of a room that may not be imported is found, by whatever way it is named', async () => {
  await using folder = await temporaryFolder()
  await folder.write('models/tables.ts', "export const MODELS_TABLES = [{ name: 'models', key: ['id'] }, { name: 'aliases' }]\n")
  await folder.write('tracking/tables.ts', "export const TRACKING_TABLES = [{ name: 'runs' }]\n")
  await folder.write('ledger/below.ts', "read.selectFrom('models').leftJoin('aliases as a', 'a.id', 'x')\n")
  await folder.write('models/above.ts', "write\n  .insertInto(\n    'runs')\nread.selectFrom('models')\n")
  assert.deepEqual(
    checkLayers(folder.path).filter((line) => !line.includes('its door')),
    [
      'src/ledger/below.ts names the table models: ledger may not import models (scripts/layers.ts)',
      'src/ledger/below.ts names the table aliases: ledger may not import models (scripts/layers.ts)',
    ],
  )
})

it('a room whose door does not say what it is for is found', async () => {
  await using folder = await temporaryFolder()
  await folder.write(`tensor/${ROOMS['tensor']!.door}`, "import './datatype.ts'\n")
  await folder.write('onnx/other.ts', '/** What this is. */\n')
  assert.deepEqual(checkLayers(folder.path), [
    `src/tensor/${ROOMS['tensor']!.door} does not open with what the room is for`,
    `src/onnx: its door ${ROOMS['onnx']!.door} is not there (scripts/layers.ts)`,
  ])
})

it('nothing is wrong here', () => {
  assert.deepEqual(checkLayers(), [])
})
