import { artifactRoutes } from '../../api/mlflow/artifacts.ts'
import { downloadRoutes } from '../../api/mlflow/downloads.ts'
import { mlflowRoutes } from '../../api/mlflow/mlflow.ts'
import { unclaimedGraphQl, unclaimedRoutes } from '../../api/mlflow/unclaimed.ts'
import { statusRoutes } from '../../api/status.ts'
import type { ArtifactServices } from '../../api/mlflow/artifacts.ts'
import type { MlflowServices } from '../../api/mlflow/call.ts'
import type { DownloadServices } from '../../api/mlflow/downloads.ts'
import type { Foundation, Room } from '../room.ts'

/** The API of MLflow, for its unmodified clients, and the status routes that these ask first. */
export const MLFLOW: Room<Foundation & MlflowServices & ArtifactServices & DownloadServices, object> = {
  doors: (services) => [
    { prefix: '', plugin: statusRoutes(services) },
    { prefix: '', plugin: downloadRoutes(services) },
    { prefix: '', plugin: unclaimedGraphQl(services) },
    ...['/api/2.0', '/ajax-api/2.0', '/api/3.0', '/ajax-api/3.0'].map((prefix) => ({
      prefix: `${prefix}/mlflow`,
      plugin: unclaimedRoutes(services),
    })),
    ...['/api/2.0', '/ajax-api/2.0'].flatMap((prefix) => [
      { prefix: `${prefix}/mlflow`, plugin: mlflowRoutes(services) },
      { prefix: `${prefix}/mlflow-artifacts`, plugin: artifactRoutes(services) },
    ]),
  ],
  open: () => ({}),
}
