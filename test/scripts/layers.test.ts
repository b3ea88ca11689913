import assert from 'node:assert/strict'
import { it } from 'node:test'
import { checkLayers } from '../../scripts/layers.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('what a room may not import, Node in a browser, a room that is not in the table, and circles of types are found', async () => {
  await using folder = await temporaryFolder()
  await folder.write('core/clock.ts', "import type { Api } from '../api/api.ts'\nexport type Clock = Api\n")
  await folder.write('contract/deep/down.ts', "import { readFile } from 'node:fs/promises'\nimport { Clock } from '../../core/clock.ts'\n")
  await folder.write('api/api.ts', "import type { Clock } from '../core/clock.ts'\nexport type Api = Clock\n")
  await folder.write('cli/main.ts', "const later = () => import('../api/api.ts')\n")
  await folder.write('cellar/wine.ts', "import '../core/clock.ts'\n")
  const wrong = checkLayers(folder.path)
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

it('nothing is wrong here', () => {
  assert.deepEqual(checkLayers(), [])
})
