import { SlipwayError } from '../../../../core/errors.ts'
import type { DataPlane } from '../../../../serving/data-plane.ts'
import type { Params } from '../../routes.ts'
import type { ModelAddress } from '../dialect.ts'

/** @throws SLW_MODEL_NOT_FOUND; SLW_NOT_FOUND for a version that is not served */
export function addressOf({ name = '', version }: Params, dataPlane: DataPlane): ModelAddress {
  if (version === undefined) return { name, version }
  const versions = dataPlane.endpoint(name).variants.map(({ subject }) => subject.version)
  if (versions.includes(version)) return { name, version }
  throw new SlipwayError('SLW_NOT_FOUND', `model "${name}" has no version "${version}"; there are ${versions.join(', ')}`)
}
