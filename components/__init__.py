"""KFP components: thin doors (read paths, call one library function, log metrics) around data/ and model/."""
