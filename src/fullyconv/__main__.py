from fullyconv.cli import main

main()
