import { artifactRoutes } from '../../api/mlflow/artifacts.ts'
import { mlflowRoutes } from '../../api/mlflow/mlflow.ts'
import { statusRoutes } from '../../api/status.ts'
import type { ArtifactServices } from '../../api/mlflow/artifacts.ts'
import type { MlflowServices } from '../../api/mlflow/call.ts'
import type { Foundation, Room } from '../room.ts'

/** The API of MLflow, for its unmodified clients, and the status routes that these ask first. */
export const MLFLOW: Room<Foundation & MlflowServices & ArtifactServices, object> = {
  doors: (services) => [
    { prefix: '', plugin: statusRoutes(services) },
    ...['/api/2.0', '/ajax-api/2.0'].flatMap((prefix) => [
      { prefix: `${prefix}/mlflow`, plugin: mlflowRoutes(services) },
      { prefix: `${prefix}/mlflow-artifacts`, plugin: artifactRoutes(services) },
    ]),
  ],
  open: () => ({}),
}
