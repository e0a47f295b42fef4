"""Networks of nnloop's own, named in plans as nnU-Net's are."""
