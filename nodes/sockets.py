"""The socket types of the pack, one per compatibility class: what cannot work together cannot be wired together.

Pictures, masks, latents, conditioning, audio, video and text use ComfyUI's own types with their native meaning.
"""

FLUX_TRANSFORMER = "FLUX_TRANSFORMER"
FLUX_VAE = "FLUX_VAE"
CLIP_L = "CLIP_L"
T5_XXL = "T5_XXL"
SCHEDULER = "SCHEDULER"
WAN_TRANSFORMER = "WAN_TRANSFORMER"
WAN_VAE = "WAN_VAE"
UMT5_XXL = "UMT5_XXL"
CLIP_VISION_H = "CLIP_VISION_H"
QWEN_VL = "QWEN_VL"
TOKENIZER = "TOKENIZER"
PROCESSOR = "PROCESSOR"
QWEN_IMAGE_TRANSFORMER = "QWEN_IMAGE_TRANSFORMER"
QWEN_IMAGE_VAE = "QWEN_IMAGE_VAE"
CLIP_G = "CLIP_G"
MISTRAL_3 = "MISTRAL_3"
QWEN_3 = "QWEN_3"
LOAD_PLAN = "LOAD_PLAN"

ANY_TRANSFORMER = ",".join((FLUX_TRANSFORMER, WAN_TRANSFORMER, QWEN_IMAGE_TRANSFORMER))
"""A type that may be wired to and from any of these sockets and no other; what came is checked again where it is used."""
