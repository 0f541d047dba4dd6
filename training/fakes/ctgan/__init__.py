"""What ``training.fakes.ctgan_imitation`` is made of: CT-GAN's steps, one file each."""
