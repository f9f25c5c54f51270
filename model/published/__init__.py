"""The layouts of the published Eagle 2 checkpoints: their keys, configs and processor files, both ways.

What is known of them: the reference's code (NVlabs/Eagle, folder Eagle2_5), the ports of `Eagle2ChatModel`, the file
lists of nvidia/Eagle2-1B, -2B and -9B, and the configs of checkpoints that descend from them. What had to be inferred
says so where it stands.
"""
