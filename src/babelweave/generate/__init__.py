"""Making questions for passages: generators and the file format of what they make."""
