import { arch, availableParallelism, cpus, platform } from 'node:os'
import { residentBytes } from '../../engine/memory.ts'
import { loadModel } from '../../library/load-model.ts'
import { processTree } from '../tune/process-memory.ts'
import type { Model } from '../../library/load-model.ts'

/** Requests before the first one that is measured. */
const WARM_UP = 20
/** Measuring ends then, with as many requests as there were. */
const LIMIT_MS = 60_000

/** Milliseconds of requests of one row, one after the other; of two models in turns, so that what disturbs one disturbs both. */
export async function measureLatencies(
  models: readonly { readonly model: Model; readonly questions: readonly unknown[] }[],
  runs: number,
): Promise<number[][]> {
  const took = models.map((): number[] => [])
  const ends = performance.now() + LIMIT_MS
  for (let run = -WARM_UP; run < runs && performance.now() < ends; run++)
    for (const [index, { model, questions }] of models.entries()) {
      const question = [questions[(run + WARM_UP) % questions.length]]
      const began = performance.now()
      await model.predict(question)
      if (run >= 0) took[index]!.push(performance.now() - began)
    }
  return took
}

/** Resident bytes of a process of its own that holds one instance and has answered; undefined where the system does not tell them. */
export async function measureMemory(
  path: string,
  questions: readonly unknown[],
  sandboxPython: string | undefined,
): Promise<number | undefined> {
  const before = new Set(processTree(process.pid))
  await using model = await loadModel(path, { instances: 1, isolation: 'process', sandboxPython })
  for (const question of questions.slice(0, WARM_UP)) await model.predict([question])
  const sizes = processTree(process.pid)
    .filter((pid) => !before.has(pid))
    .map((pid) => residentBytes(pid))
  return sizes.length === 0 || sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
}

/** This machine, in a few words. */
export function machineText(): string {
  return `${cpus()[0]?.model.trim() ?? arch()}, ${availableParallelism()} cores, ${platform()} ${arch()}`
}
