import { SlipwayError } from '../../../core/errors.ts'
import type { DialectHost } from './dialect.ts'

/**
 * The model of a request that names none: the default one, or the only one.
 * @throws SLW_BAD_REQUEST naming the models, when there are several and none is the default
 */
export function soleEndpoint({ dataPlane, defaultModel }: Pick<DialectHost, 'dataPlane' | 'defaultModel'>): string {
  if (defaultModel !== undefined) return defaultModel
  const names = [...dataPlane.endpoints.keys()]
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    names.length === 0
      ? 'no model is served'
      : `${names.length} models are served (${names.slice(0, 10).join(', ')}): POST /models/NAME/predict, or set defaultModel`,
  )
}
