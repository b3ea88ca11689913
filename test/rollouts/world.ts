import { planeInProcess } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { added, adders } from '../following/following.ts'
import { follows } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { RolloutAnswer } from '../../src/contract/rollout-api.ts'
import type { Plane } from '../api/in-plane.ts'
import type { ControlPlaneOptions } from '../../src/control-plane/settings.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

export interface World extends AsyncDisposable {
  readonly plane: Plane
  readonly servers: readonly SlipwayServer[]
  /** Declares the endpoint `adder` of an alias or a version, with a strategy. */
  readonly declare: (rollout: object | undefined, model?: string) => Promise<void>
  readonly start: (body?: object) => Promise<RolloutAnswer>
  readonly command: (command: string, more?: object) => Promise<{ status: number; body: any }>
  readonly latest: () => Promise<RolloutAnswer>
  /** Waits for a state of the latest rollout. */
  readonly reaches: (...states: string[]) => Promise<RolloutAnswer>
  /** What each server answers now. */
  readonly answers: () => Promise<(number | string)[]>
}

/** A control plane with versions 1 to 4 of `adder`, the first of which is its champion, and servers that follow. */
export async function world({
  serverCount = 1,
  versions = 4,
  ...options
}: { serverCount?: number; versions?: number } & Partial<ControlPlaneOptions> = {}): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const plane = opened.use(await planeInProcess(options))
  await adders(plane, versions)
  const servers: SlipwayServer[] = []
  for (let index = 0; index < serverCount; index++) {
    const folder = opened.use(await temporaryFolder())
    servers.push(opened.use(await follows(plane.url, folder.path, { name: `server-${index + 1}` })))
  }
  const held = opened.move()
  const latest = async (): Promise<RolloutAnswer> => (await plane.ask('GET', '/endpoints/adder/rollouts/latest')).body as RolloutAnswer
  return {
    plane,
    servers,
    latest,
    async declare(rollout, model = 'adder@champion') {
      const spec = { variants: [{ model }], ...(rollout !== undefined && { rollout }) }
      const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'adder' }, spec }
      const { status, body } = await plane.ask('PUT', '/endpoints/adder', document)
      if (status > 201) throw new Error(JSON.stringify(body))
    },
    async start(body = {}) {
      const answer = await plane.ask('POST', '/endpoints/adder/rollouts', body)
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
      return answer.body as RolloutAnswer
    },
    command: async (command, more = {}) => await plane.ask('POST', '/endpoints/adder/rollouts/latest/commands', { command, ...more }),
    async reaches(...states) {
      let rollout: RolloutAnswer | undefined
      await until(async () => states.includes((rollout = await latest()).state), `a rollout that is ${states.join(' or ')}`, 20_000)
      return rollout!
    },
    answers: async () => await Promise.all(servers.map((server) => added(server))),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
