/** The shared memory extensions of Triton, which are not offered: no region is ever registered. */
import { SlipwayError } from '../../../../core/errors.ts'
import { sharedMemoryRefused } from '../../../v2/shared-memory.ts'
import type { Route } from '../../routes.ts'

export function sharedMemoryRoutes(): Route[] {
  return ['systemsharedmemory', 'cudasharedmemory'].flatMap((kind): Route[] => {
    const refuse: Route['handle'] = () => {
      throw sharedMemoryRefused(kind)
    }
    return [
      { method: 'GET', path: `/v2/${kind}/status`, access: 'predict', handle: (exchange) => exchange.json(200, '[]') },
      {
        method: 'GET',
        path: `/v2/${kind}/region/:region/status`,
        access: 'predict',
        handle: (_exchange, { region }) => {
          throw new SlipwayError('SLW_NOT_FOUND', `${kind}: there is no region "${region}": shared memory is not offered`)
        },
      },
      { method: 'POST', path: `/v2/${kind}/region/:region/register`, access: 'predict', handle: refuse },
      { method: 'POST', path: `/v2/${kind}/region/:region/unregister`, access: 'predict', handle: refuse },
      { method: 'POST', path: `/v2/${kind}/unregister`, access: 'predict', handle: refuse },
    ]
  })
}
