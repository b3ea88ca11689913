import { SlipwayError } from '../../../core/errors.ts'
import type { DialectHost } from './dialect.ts'

/**
 * The model of a request that names none: the default one, or the only one.
 * @param cure what a client may do where there are several. Default: it is the server that has to be told
 * @throws SLW_BAD_REQUEST when there are several and none is the default
 */
export function soleEndpoint({ dataPlane, defaultModel }: Pick<DialectHost, 'dataPlane' | 'defaultModel'>, cure?: string): string {
  if (defaultModel !== undefined) return defaultModel
  const names = [...dataPlane.endpoints.keys()]
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    names.length === 0
      ? 'no model is served'
      : `${names.length} models are served (${names.slice(0, 10).join(', ')}), and this route is of one: ${cure === undefined ? '' : `${cure}, or `}start the server with --default-model NAME`,
  )
}
