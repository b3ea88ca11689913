/** The settings that tuning varies; all others stay as they would be served. */
export interface Candidate {
  readonly instances: number
  readonly threads: number
  readonly maxBatchSize: number
}

/** Batch sizes, the likeliest to win first: when time runs out, the last are left out. */
const BATCH_SIZES = [32, 128, 8, 1] as const

export interface CandidateOptions {
  readonly cores: number
  /** False where rows cannot share a run: the batch size then changes nothing and is not varied. */
  readonly batchable: boolean
  /** The present settings: always the first of the candidates. */
  readonly present: Candidate
}

/**
 * One instance, half as many as cores, one for each core, each with one thread; and one instance with all cores; each with
 * the batch sizes 1, 8, 32 and 128. Candidates with the present batch size stand first: they compare the shapes.
 */
export function candidatesFor({ cores, batchable, present }: CandidateOptions): [Candidate, ...Candidate[]] {
  const shapes = [
    { instances: present.instances, threads: present.threads },
    { instances: cores, threads: 1 },
    { instances: Math.max(1, Math.floor(cores / 2)), threads: 1 },
    { instances: 1, threads: cores },
    { instances: 1, threads: 1 },
  ]
  const sizes = batchable ? [present.maxBatchSize, ...BATCH_SIZES] : [present.maxBatchSize]
  const found = new Map<string, Candidate>([[keyOf(present), present]])
  for (const candidate of sizes.flatMap((maxBatchSize) => shapes.map((shape) => ({ ...shape, maxBatchSize }))))
    if (!found.has(keyOf(candidate))) found.set(keyOf(candidate), candidate)
  return [present, ...[...found.values()].slice(1)]
}

/** Key of a candidate: equal for equal candidates. */
export function keyOf({ instances, threads, maxBatchSize }: Candidate): string {
  return `${instances}x${threads}/${maxBatchSize}`
}

/** For people: `2 x 1 thread, batches up to 32`. */
export function describeCandidate({ instances, threads, maxBatchSize }: Candidate): string {
  return `${instances} x ${threads} thread${threads === 1 ? '' : 's'}, batches up to ${maxBatchSize}`
}

/** As flags of `slipway serve`. */
export function flagsOf({ instances, threads, maxBatchSize }: Candidate): string {
  return `--instances ${instances} --threads ${threads} --max-batch-size ${maxBatchSize}`
}
