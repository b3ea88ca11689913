import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { temporaryFolder } from '../temporary-folder.ts'
import { difference, makeModels } from './trees/compare.ts'
import type { Library } from './trees/compare.ts'

/** `SLIPWAY_TREES=3000` trains as many models of each library, `SLIPWAY_SEED=7` others (`npm run soak:trees`). */
const COUNT = Number(process.env['SLIPWAY_TREES'] ?? 80)
const SEED = Number(process.env['SLIPWAY_SEED'] ?? 1)

/** Words in which the models of a library have to differ, so that the parameters drawn reach everything that is promised. */
const REACHED: Readonly<Record<Library, readonly RegExp[]>> = {
  xgboost: [
    /"dart"/,
    /"num_parallel_tree"/,
    /"multi_output_tree"/,
    /"lossguide"/,
    /"exact"/,
    /multi:softprob/,
    /rank:/,
    /survival:/,
    /"base_score"/,
  ],
  lightgbm: [/"dart"/, /"rf"/, /"zero_as_missing": ?true/, /"use_missing": ?false/, /multiclassova/, /cross_entropy_lambda/, /"reg_sqrt"/],
  catboost: [/"Lossguide"/, /"Depthwise"/, /MultiClassOneVsAll/, /"nan_mode": ?"Max"/, /MultiRMSE/],
}

describe('models of trees give the numbers of their own libraries, also for rows on a threshold, one step beside, missing, tiny and huge', () => {
  for (const library of ['xgboost', 'lightgbm', 'catboost'] as const)
    it(library, async (t) => {
      await using folder = await temporaryFolder()
      const wrong: string[] = []
      const seen: string[] = []
      let marked = 0
      let sets = 0
      for await (const made of makeModels({ library, seed: SEED, count: COUNT, folder: folder.path })) {
        seen.push(`${made.objective} ${JSON.stringify(made.params)}`)
        marked += Number(made.marked)
        sets += Number(made.categories > 0)
        const found = await difference(folder.path, made).catch((error: Error) => error.message)
        if (found !== undefined) wrong.push(`seed ${SEED}, ${made.name} (${made.objective}): ${found}`)
      }
      t.diagnostic(`${seen.length} models, ${marked} with leaves far apart, ${sets} with categories`)
      assert.deepEqual(wrong.slice(0, 10), [])
      // A few draws train nothing: all their columns are constant.
      assert.ok(seen.length >= 0.9 * COUNT, `${seen.length} of ${COUNT} models`)
      for (const words of REACHED[library])
        assert.ok(
          seen.some((one) => words.test(one)),
          `no model with ${words}`,
        )
      if (library !== 'catboost') assert.ok(marked > 0.3 * COUNT && sets > 0.2 * COUNT, `${marked} marked, ${sets} with categories`)
    })
})
