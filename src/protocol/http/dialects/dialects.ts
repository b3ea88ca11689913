/** Every dialect that a server can speak over HTTP. A new one is a file beside this, and a line here. */
import { azureml } from './azureml.ts'
import { friendly } from './friendly.ts'
import { kserveV1 } from './kserve-v1.ts'
import { mlflow } from './mlflow.ts'
import { multiModel } from './sagemaker/multi-model.ts'
import { sagemaker } from './sagemaker/sagemaker.ts'
import { tfserving } from './tfserving.ts'
import { torchserveManagement } from './torchserve/management.ts'
import { torchserve } from './torchserve/torchserve.ts'
import { v2 } from './v2/v2.ts'
import { vertex } from './vertex.ts'
import type { Dialect } from './dialect.ts'

export const DIALECTS: readonly Dialect[] = [
  v2,
  friendly,
  kserveV1,
  tfserving,
  torchserve,
  torchserveManagement,
  mlflow,
  sagemaker,
  multiModel,
  vertex,
  azureml,
]
