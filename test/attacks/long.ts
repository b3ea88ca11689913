import { randomFrom } from '../soak/random.ts'

/** Whether the long forms of the attacks run: `npm run soak:attacks`. */
export const LONG: boolean = process.env['SLIPWAY_ATTACKS'] === 'long'

/** Random numbers of an attack; the seed is printed, and `SLIPWAY_SEED` repeats it. */
export function seeded(what: string): ReturnType<typeof randomFrom> {
  const seed = Number(process.env['SLIPWAY_SEED'] ?? Date.now() % 1_000_000)
  console.log(`${what}: SLIPWAY_SEED=${seed}`)
  return randomFrom(seed)
}
