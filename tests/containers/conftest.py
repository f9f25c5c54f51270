def pytest_addoption(parser):
    parser.addoption("--recipe", default="mini", choices=["mini", "tiny"], help="which bundled recipe the run takes")
