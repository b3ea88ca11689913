import { schemaOf } from './schema.ts'

/**
 * The service of the Open Inference Protocol with the extensions of Triton: names and numbers of the fields, as clients of either have them.
 * Of the configuration of a model it has what ours can say.
 */
export const INFERENCE = schemaOf(
  'inference.proto',
  'inference',
  `
service GRPCInferenceService
  ServerLive ServerLiveRequest ServerLiveResponse
  ServerReady ServerReadyRequest ServerReadyResponse
  ModelReady ModelReadyRequest ModelReadyResponse
  ServerMetadata ServerMetadataRequest ServerMetadataResponse
  ModelMetadata ModelMetadataRequest ModelMetadataResponse
  ModelInfer ModelInferRequest ModelInferResponse
  ModelStreamInfer stream ModelInferRequest stream ModelStreamInferResponse
  ModelConfig ModelConfigRequest ModelConfigResponse
  ModelStatistics ModelStatisticsRequest ModelStatisticsResponse
  RepositoryIndex RepositoryIndexRequest RepositoryIndexResponse
  RepositoryModelLoad RepositoryModelLoadRequest RepositoryModelLoadResponse
  RepositoryModelUnload RepositoryModelUnloadRequest RepositoryModelUnloadResponse
  SystemSharedMemoryStatus SystemSharedMemoryStatusRequest SystemSharedMemoryStatusResponse
  SystemSharedMemoryRegister SystemSharedMemoryRegisterRequest SystemSharedMemoryRegisterResponse
  SystemSharedMemoryUnregister SystemSharedMemoryUnregisterRequest SystemSharedMemoryUnregisterResponse
  CudaSharedMemoryStatus CudaSharedMemoryStatusRequest CudaSharedMemoryStatusResponse
  CudaSharedMemoryRegister CudaSharedMemoryRegisterRequest CudaSharedMemoryRegisterResponse
  CudaSharedMemoryUnregister CudaSharedMemoryUnregisterRequest CudaSharedMemoryUnregisterResponse
  TraceSetting TraceSettingRequest TraceSettingResponse
  LogSettings LogSettingsRequest LogSettingsResponse
message ServerLiveRequest
message ServerLiveResponse
  1 live bool
message ServerReadyRequest
message ServerReadyResponse
  1 ready bool
message ModelReadyRequest
  1 name string
  2 version string
message ModelReadyResponse
  1 ready bool
message ServerMetadataRequest
message ServerMetadataResponse
  1 name string
  2 version string
  3 extensions repeated string
message ModelMetadataRequest
  1 name string
  2 version string
message ModelMetadataResponse
  1 name string
  2 versions repeated string
  3 platform string
  4 inputs repeated ModelMetadataResponse.TensorMetadata
  5 outputs repeated ModelMetadataResponse.TensorMetadata
message ModelMetadataResponse.TensorMetadata
  1 name string
  2 datatype string
  3 shape repeated int64
message InferParameter
  1 bool_param bool of parameter_choice
  2 int64_param int64 of parameter_choice
  3 string_param string of parameter_choice
  4 double_param double of parameter_choice
  5 uint64_param uint64 of parameter_choice
message InferTensorContents
  1 bool_contents repeated bool
  2 int_contents repeated int32
  3 int64_contents repeated int64
  4 uint_contents repeated uint32
  5 uint64_contents repeated uint64
  6 fp32_contents repeated float
  7 fp64_contents repeated double
  8 bytes_contents repeated bytes
message ModelInferRequest
  1 model_name string
  2 model_version string
  3 id string
  4 parameters map string InferParameter
  5 inputs repeated ModelInferRequest.InferInputTensor
  6 outputs repeated ModelInferRequest.InferRequestedOutputTensor
  7 raw_input_contents repeated bytes
message ModelInferRequest.InferInputTensor
  1 name string
  2 datatype string
  3 shape repeated int64
  4 parameters map string InferParameter
  5 contents InferTensorContents
message ModelInferRequest.InferRequestedOutputTensor
  1 name string
  2 parameters map string InferParameter
message ModelInferResponse
  1 model_name string
  2 model_version string
  3 id string
  4 parameters map string InferParameter
  5 outputs repeated ModelInferResponse.InferOutputTensor
  6 raw_output_contents repeated bytes
message ModelInferResponse.InferOutputTensor
  1 name string
  2 datatype string
  3 shape repeated int64
  4 parameters map string InferParameter
  5 contents InferTensorContents
message ModelStreamInferResponse
  1 error_message string
  2 infer_response ModelInferResponse
message ModelConfigRequest
  1 name string
  2 version string
message ModelConfigResponse
  1 config ModelConfig
message ModelStatisticsRequest
  1 name string
  2 version string
message StatisticDuration
  1 count uint64
  2 ns uint64
message InferStatistics
  1 success StatisticDuration
  2 fail StatisticDuration
  3 queue StatisticDuration
  4 compute_input StatisticDuration
  5 compute_infer StatisticDuration
  6 compute_output StatisticDuration
  7 cache_hit StatisticDuration
  8 cache_miss StatisticDuration
message InferResponseStatistics
  1 compute_infer StatisticDuration
  2 compute_output StatisticDuration
  3 success StatisticDuration
  4 fail StatisticDuration
  5 empty_response StatisticDuration
  6 cancel StatisticDuration
message InferBatchStatistics
  1 batch_size uint64
  2 compute_input StatisticDuration
  3 compute_infer StatisticDuration
  4 compute_output StatisticDuration
message MemoryUsage
  1 type string
  2 id int64
  3 byte_size uint64
message ModelStatistics
  1 name string
  2 version string
  3 last_inference uint64
  4 inference_count uint64
  5 execution_count uint64
  6 inference_stats InferStatistics
  7 batch_stats repeated InferBatchStatistics
  8 memory_usage repeated MemoryUsage
  9 response_stats map string InferResponseStatistics
message ModelStatisticsResponse
  1 model_stats repeated ModelStatistics
message ModelRepositoryParameter
  1 bool_param bool of parameter_choice
  2 int64_param int64 of parameter_choice
  3 string_param string of parameter_choice
  4 bytes_param bytes of parameter_choice
message RepositoryIndexRequest
  1 repository_name string
  2 ready bool
message RepositoryIndexResponse
  1 models repeated RepositoryIndexResponse.ModelIndex
message RepositoryIndexResponse.ModelIndex
  1 name string
  2 version string
  3 state string
  4 reason string
message RepositoryModelLoadRequest
  1 repository_name string
  2 model_name string
  3 parameters map string ModelRepositoryParameter
message RepositoryModelLoadResponse
message RepositoryModelUnloadRequest
  1 repository_name string
  2 model_name string
  3 parameters map string ModelRepositoryParameter
message RepositoryModelUnloadResponse
message SystemSharedMemoryStatusRequest
  1 name string
message SystemSharedMemoryStatusResponse
  1 regions map string SystemSharedMemoryStatusResponse.RegionStatus
message SystemSharedMemoryStatusResponse.RegionStatus
  1 name string
  2 key string
  3 offset uint64
  4 byte_size uint64
message SystemSharedMemoryRegisterRequest
  1 name string
  2 key string
  3 offset uint64
  4 byte_size uint64
message SystemSharedMemoryRegisterResponse
message SystemSharedMemoryUnregisterRequest
  1 name string
message SystemSharedMemoryUnregisterResponse
message CudaSharedMemoryStatusRequest
  1 name string
message CudaSharedMemoryStatusResponse
  1 regions map string CudaSharedMemoryStatusResponse.RegionStatus
message CudaSharedMemoryStatusResponse.RegionStatus
  1 name string
  2 device_id uint64
  3 byte_size uint64
message CudaSharedMemoryRegisterRequest
  1 name string
  2 raw_handle bytes
  3 device_id int64
  4 byte_size uint64
message CudaSharedMemoryRegisterResponse
message CudaSharedMemoryUnregisterRequest
  1 name string
message CudaSharedMemoryUnregisterResponse
message TraceSettingRequest
  1 settings map string TraceSettingRequest.SettingValue
  2 model_name string
message TraceSettingRequest.SettingValue
  1 value repeated string
message TraceSettingResponse
  1 settings map string TraceSettingResponse.SettingValue
message TraceSettingResponse.SettingValue
  1 value repeated string
message LogSettingsRequest
  1 settings map string LogSettingsRequest.SettingValue
message LogSettingsRequest.SettingValue
  1 bool_param bool of parameter_choice
  2 uint32_param uint32 of parameter_choice
  3 string_param string of parameter_choice
message LogSettingsResponse
  1 settings map string LogSettingsResponse.SettingValue
message LogSettingsResponse.SettingValue
  1 bool_param bool of parameter_choice
  2 uint32_param uint32 of parameter_choice
  3 string_param string of parameter_choice
message ModelInstanceGroup
  1 name string
  2 count int32
  3 gpus repeated int32
  4 kind ModelInstanceGroup.Kind
  5 profile repeated string
  7 passive bool
  9 host_policy string
enum ModelInstanceGroup.Kind
  0 KIND_AUTO
  1 KIND_GPU
  2 KIND_CPU
  3 KIND_MODEL
message ModelTensorReshape
  1 shape repeated int64
message ModelInput
  1 name string
  2 data_type DataType
  3 format ModelInput.Format
  4 dims repeated int64
  5 reshape ModelTensorReshape
  6 is_shape_tensor bool
  7 allow_ragged_batch bool
  8 optional bool
  9 is_non_linear_format_io bool
enum ModelInput.Format
  0 FORMAT_NONE
  1 FORMAT_NHWC
  2 FORMAT_NCHW
message ModelOutput
  1 name string
  2 data_type DataType
  3 dims repeated int64
  4 label_filename string
  5 reshape ModelTensorReshape
  6 is_shape_tensor bool
  7 is_non_linear_format_io bool
message ModelVersionPolicy
  1 latest ModelVersionPolicy.Latest of policy_choice
  2 all ModelVersionPolicy.All of policy_choice
  3 specific ModelVersionPolicy.Specific of policy_choice
message ModelVersionPolicy.Latest
  1 num_versions uint32
message ModelVersionPolicy.All
message ModelVersionPolicy.Specific
  1 versions repeated int64
message ModelOptimizationPolicy
  1 graph ModelOptimizationPolicy.Graph
  2 priority ModelOptimizationPolicy.ModelPriority
  4 execution_accelerators ModelOptimizationPolicy.ExecutionAccelerators
  7 gather_kernel_buffer_threshold uint32
  8 eager_batching bool
enum ModelOptimizationPolicy.ModelPriority
  0 PRIORITY_DEFAULT
  1 PRIORITY_MAX
  2 PRIORITY_MIN
message ModelOptimizationPolicy.Graph
  1 level int32
message ModelOptimizationPolicy.ExecutionAccelerators
  1 gpu_execution_accelerator repeated ModelOptimizationPolicy.ExecutionAccelerators.Accelerator
  2 cpu_execution_accelerator repeated ModelOptimizationPolicy.ExecutionAccelerators.Accelerator
message ModelOptimizationPolicy.ExecutionAccelerators.Accelerator
  1 name string
  2 parameters map string string
message ModelQueuePolicy
  1 timeout_action ModelQueuePolicy.TimeoutAction
  2 default_timeout_microseconds uint64
  3 allow_timeout_override bool
  4 max_queue_size uint32
enum ModelQueuePolicy.TimeoutAction
  0 REJECT
  1 DELAY
message ModelDynamicBatching
  1 preferred_batch_size repeated int32
  2 max_queue_delay_microseconds uint64
  3 preserve_ordering bool
  4 priority_levels uint64
  5 default_priority_level uint64
  6 default_queue_policy ModelQueuePolicy
  7 priority_queue_policy map uint64 ModelQueuePolicy
message ModelEnsembling
  1 step repeated ModelEnsembling.Step
  2 max_inflight_requests uint32
message ModelEnsembling.Step
  1 model_name string
  2 model_version int64
  3 input_map map string string
  4 output_map map string string
  5 model_namespace string
message ModelParameter
  1 string_value string
message ModelWarmup
  1 name string
  2 batch_size uint32
  3 inputs map string ModelWarmup.Input
  4 count uint32
message ModelWarmup.Input
  1 data_type DataType
  2 dims repeated int64
  3 zero_data bool of input_data_type
  4 random_data bool of input_data_type
  5 input_data_file string of input_data_type
message ModelTransactionPolicy
  1 decoupled bool
message ModelResponseCache
  1 enable bool
message ModelConfig
  1 name string
  2 platform string
  3 version_policy ModelVersionPolicy
  4 max_batch_size int32
  5 input repeated ModelInput
  6 output repeated ModelOutput
  7 instance_group repeated ModelInstanceGroup
  8 default_model_filename string
  9 cc_model_filenames map string string
  10 metric_tags map string string
  11 dynamic_batching ModelDynamicBatching of scheduling_choice
  15 ensemble_scheduling ModelEnsembling of scheduling_choice
  12 optimization ModelOptimizationPolicy
  14 parameters map string ModelParameter
  16 model_warmup repeated ModelWarmup
  17 backend string
  19 model_transaction_policy ModelTransactionPolicy
  24 response_cache ModelResponseCache
  25 runtime string
enum DataType
  0 TYPE_INVALID
  1 TYPE_BOOL
  2 TYPE_UINT8
  3 TYPE_UINT16
  4 TYPE_UINT32
  5 TYPE_UINT64
  6 TYPE_INT8
  7 TYPE_INT16
  8 TYPE_INT32
  9 TYPE_INT64
  10 TYPE_FP16
  11 TYPE_FP32
  12 TYPE_FP64
  13 TYPE_STRING
  14 TYPE_BF16
`,
)
