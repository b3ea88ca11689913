/** Extensions of the Open Inference Protocol that a server offers whatever it is asked over, by the names that Triton gives them. */
export const EXTENSIONS: readonly string[] = [
  'classification',
  'model_repository',
  'model_repository(unload_dependents)',
  'schedule_policy',
  'model_configuration',
  'binary_tensor_data',
  'parameters',
  'statistics',
  'logging',
]
