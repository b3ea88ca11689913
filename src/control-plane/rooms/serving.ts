import { SERVING_ROUTES } from '../../api/v1/serving-routes.ts'
import { DEFAULT_ENVIRONMENT } from '../../contract/api-address.ts'
import { AliasEndpoints } from '../../delivery/alias-endpoints.ts'
import { repeat } from '../repeat.ts'
import type { ServingStatus } from '../../api/v1/serving-routes.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Foundation, Room } from '../room.ts'

/** How often aliases are looked at. */
const FOLLOW_EVERY_MS = 500

/** The server beside the control plane: an alias is then enough of a declaration. */
export const SERVING: Room<Foundation & { readonly delivery: Delivery }, { readonly serving: ServingStatus | undefined }> = {
  routes: SERVING_ROUTES,
  open({ ground, delivery, log, settings: { serving }, opened }) {
    if (serving === undefined) return { serving: undefined }
    const { url, onEndpoints } = serving
    const served = new AliasEndpoints({ ground, delivery, environment: DEFAULT_ENVIRONMENT, log })
    const follow = async (): Promise<void> => {
      if (await served.follow()) await onEndpoints()
    }
    opened.defer(repeat(follow, FOLLOW_EVERY_MS, log))
    return { serving: { url, models: () => served.served() } }
  },
}
