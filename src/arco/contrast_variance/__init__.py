"""How much the contrast and its gradient vary with the drawn pixels, sampler by sampler."""
