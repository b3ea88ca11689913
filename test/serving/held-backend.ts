import { instances } from '../../src/serving/backend.ts'
import type { Backend } from '../../src/serving/backend.ts'

/** Instances of a version that load, and run, only when they may. */
export class HeldBackend implements Backend {
  /** What a load of this version waits for. */
  readonly loads = new Map<string, Promise<void>>()
  /** What runs of this version wait for. */
  readonly runs = new Map<string, Promise<void>>()

  async open(options: Parameters<Backend['open']>[0]): ReturnType<Backend['open']> {
    const { version } = options.subject
    await this.loads.get(version)
    const model = await instances.open(options)
    const hold = this.runs
    const held = new Set<unknown>()
    const slots = model.slots.map((slot) => ({
      get state() {
        return slot.state
      },
      get available() {
        return slot.available && !held.has(slot)
      },
      status: () => slot.status(),
      poll: () => slot.poll(),
      stream: (...given: Parameters<typeof slot.stream>) => slot.stream(...given),
      async run(...given: Parameters<typeof slot.run>) {
        held.add(slot)
        await hold.get(version)
        held.delete(slot)
        return await slot.run(...given)
      },
    }))
    return { ...model, slots, inline: undefined, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() }
  }
}
