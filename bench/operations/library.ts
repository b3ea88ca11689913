/**
 * Asks the library for a while, from several callers at a time, and prints how often a second it answered:
 * `library.ts LIBRARY MODEL JSON BINARY SECONDS CALLERS`.
 */
import { readFileSync } from 'node:fs'
import type { loadModel as LoadModel } from '../../src/index.ts'
import type { Datatype } from '../../src/tensor/datatype.ts'

const WARM_UP_MS = 1000

if (import.meta.main) {
  const [library = '', model = '', json = '', binary = '', seconds, callers] = process.argv.slice(2)
  const { loadModel } = (await import(library)) as { loadModel: typeof LoadModel }
  const { inputs } = JSON.parse(readFileSync(json, 'utf8')) as {
    inputs: { name: string; datatype: Datatype; shape: number[] }[]
  }
  const { name, datatype, shape } = inputs[0]!
  const bytes = readFileSync(binary)
  await using loaded = await loadModel(model)
  const during = async (ms: number): Promise<number> => {
    const began = performance.now()
    const caller = async (): Promise<number> => {
      let done = 0
      for (; performance.now() - began < ms; done++)
        await loaded.infer([{ name, datatype, shape, data: new Float32Array(Uint8Array.from(bytes).buffer) }])
      return done
    }
    const done = await Promise.all(Array.from({ length: Number(callers) }, caller))
    return done.reduce((sum, one) => sum + one, 0) / ((performance.now() - began) / 1000)
  }
  await during(WARM_UP_MS)
  console.log('MEASURED', await during(Number(seconds) * 1000))
}
