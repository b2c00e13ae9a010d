/**
 * @file Words that SavedModels are made of, as TensorFlow spells them. Start at `SavedModelKeys`.
 *
 * @see TensorFlow cc/saved_model/constants.h; python/saved_model/signature_constants.py, tag_constants.py
 */

/** Keys of collections and signatures. */
export const SavedModelKeys = {
  ASSETS: "saved_model_assets",
  MAIN_OP: "saved_model_main_op",
  LEGACY_INIT_OP: "legacy_init_op",
  TRAIN_OP: "saved_model_train_op",
  INIT_OP_SIGNATURE: "__saved_model_init_op",
  TRAIN_OP_SIGNATURE: "__saved_model_train_op",
  DEFAULT_SIGNATURE: "serving_default",
} as const;

/** What a signature is for: which request of TensorFlow Serving it answers. */
export const SignatureMethods = {
  PREDICT: "tensorflow/serving/predict",
  CLASSIFY: "tensorflow/serving/classify",
  REGRESS: "tensorflow/serving/regress",
  SUPERVISED_TRAIN: "tensorflow/supervised/training",
  SUPERVISED_EVAL: "tensorflow/supervised/eval",
} as const;

/** Tags that TensorFlow's tools look for. */
export const SavedModelTags = {
  SERVING: "serve",
  TRAINING: "train",
  EVAL: "eval",
  GPU: "gpu",
  TPU: "tpu",
} as const;
