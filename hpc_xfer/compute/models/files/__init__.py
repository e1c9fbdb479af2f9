"""Look into files of tensors before torch reads them: nothing in them runs, or takes all memory."""
