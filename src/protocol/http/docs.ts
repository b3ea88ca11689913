import type { DataPlane } from '../../serving/data-plane.ts'
import type { Route } from './routes.ts'

export function docsRoutes(_dataPlane: DataPlane, _defaultModel: string | undefined): Route[] {
  return []
}
