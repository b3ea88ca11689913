import { SERVING_ROUTES } from '../../api/v1/serving-routes.ts'
import { DEFAULT_ENVIRONMENT } from '../../contract/api-address.ts'
import { AliasEndpoints } from '../../delivery/alias-endpoints.ts'
import { repeat } from '../repeat.ts'
import type { ServingStatus } from '../../api/v1/serving-routes.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Foundation, Room } from '../room.ts'

/** Pause between two looks at the aliases. */
const FOLLOW_EVERY_MS = 500

/** The server beside the control plane: a model with the alias `champion` then needs no declared endpoint. */
export const SERVING: Room<Foundation & { readonly delivery: Delivery }, { readonly serving: ServingStatus | undefined }> = {
  routes: SERVING_ROUTES,
  open({ ground, delivery, log, settings: { serving }, opened }) {
    if (serving === undefined) return { serving: undefined }
    const { url, onEndpoints } = serving
    const served = new AliasEndpoints({ ground, delivery, environment: DEFAULT_ENVIRONMENT, log })
    const follow = async (): Promise<void> => {
      if (await served.follow()) onEndpoints()
    }
    opened.defer(repeat(follow, FOLLOW_EVERY_MS, log))
    return { serving: { url, models: () => served.served() } }
  },
}
