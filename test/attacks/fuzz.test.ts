import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import { messageOf } from '../../src/core/errors.ts'
import { fuzz } from '../fuzz/fuzzer.ts'
import { targetsOf } from '../fuzz/targets.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { LONG } from './long.ts'

/** Time for each parser: an hour, say, by SLIPWAY_FUZZ_SECONDS=3600. */
const SECONDS = Number(process.env['SLIPWAY_FUZZ_SECONDS'] ?? (LONG ? 60 : 2))
const ONLY = process.env['SLIPWAY_FUZZ_ONLY']

const folder = await temporaryFolder()
for (const [name, target] of Object.entries(await targetsOf(folder.path)))
  if (ONLY === undefined || ONLY.split(',').includes(name))
    it(`${name}: whatever is sent is taken, or refused by name`, { timeout: SECONDS * 1000 + 60_000 }, async (test) => {
      const seed = Number(process.env['SLIPWAY_SEED'] ?? Date.now() % 1_000_000)
      const { runs, corpus, covered, finds } = await fuzz(target, { ms: SECONDS * 1000, seed })
      test.diagnostic(`SLIPWAY_SEED=${seed}: ${runs} inputs, ${corpus} kept, ${covered} blocks covered`)
      const [find] = finds
      assert.equal(
        find,
        undefined,
        find && `${find.input.toString('base64')}\n${find.error instanceof Error ? find.error.stack : messageOf(find.error)}`,
      )
    })
after(() => folder[Symbol.asyncDispose]())
